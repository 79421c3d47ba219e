from iii_cluster.cluster.election import Candidate, Witness
from iii_cluster.cluster.scripts import ANY_SERVER, NO_SERVER, Leadership

TTL = 2.0


def test_a_candidate_leads_in_the_term_it_was_given() -> None:
    candidate = Candidate(TTL)
    candidate.answered(10.0, Leadership(7, "run", "me"))
    assert candidate.term == 7


def test_a_candidate_that_finds_another_leader_stands_by() -> None:
    candidate = Candidate(TTL)
    candidate.answered(10.0, Leadership(7, "run", "me"))
    candidate.answered(10.5, Leadership(0, "run", "other"))
    assert candidate.term == 0


def test_the_lease_counts_from_the_start_of_the_attempt() -> None:
    candidate = Candidate(TTL)
    candidate.answered(10.0, Leadership(7, "run", "me"))
    candidate.expire(11.9)
    assert candidate.term == 7
    candidate.expire(12.0)
    assert candidate.term == 0


def test_a_renewal_extends_the_lease() -> None:
    candidate = Candidate(TTL)
    candidate.answered(10.0, Leadership(7, "run", "me"))
    candidate.answered(11.0, Leadership(7, "run", "me"))
    candidate.expire(12.5)
    assert candidate.term == 7


def test_a_late_answer_does_not_bring_a_term_back_that_was_given_up() -> None:
    candidate = Candidate(TTL)
    candidate.answered(10.0, Leadership(7, "run", "me"))
    candidate.expire(12.0)
    candidate.answered(11.5, Leadership(7, "run", "me"))
    assert candidate.term == 0
    candidate.answered(12.5, Leadership(8, "run", "me"))
    assert candidate.term == 8


def test_a_candidate_remembers_the_newest_term_it_led_in() -> None:
    candidate = Candidate(TTL)
    candidate.answered(10.0, Leadership(7, "run", "me"))
    candidate.expire(12.0)
    assert (candidate.term, candidate.newest) == (0, 7)


def test_the_first_server_that_answers_is_trusted_at_once() -> None:
    witness = Witness(TTL)
    assert witness.trusted(0.0) == ANY_SERVER
    witness.answered(0.0, "a")
    assert witness.trusted(0.1) == "a"


def test_a_server_that_took_over_is_trusted_when_everybody_had_time_to_tell_it() -> None:
    witness = Witness(TTL)
    witness.answered(0.0, "a")
    witness.answered(10.0, "b")
    witness.answered(11.0, "b")
    assert witness.trusted(11.9) == NO_SERVER
    assert witness.trusted(12.0) == "b"


def test_a_server_that_was_away_may_not_be_what_it_was() -> None:
    witness = Witness(TTL)
    witness.answered(0.0, "a")
    witness.failed()
    assert witness.trusted(5.0) == NO_SERVER
    witness.answered(10.0, "a")
    assert witness.trusted(11.9) == NO_SERVER
    assert witness.trusted(12.0) == "a"
