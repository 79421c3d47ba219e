from iii_cluster.cluster.election import Candidate
from iii_cluster.cluster.scripts import Leadership

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
