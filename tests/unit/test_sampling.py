"""Which traces are recorded."""

import fnmatch
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iii_cluster.telemetry.config import Observability, RateLimit, Sampling, SamplingRule
from iii_cluster.telemetry.context import Parent
from iii_cluster.telemetry.sampling import ROOTS_PER_SECOND, TokenBucket, bound, pattern, sampler_of, tail_of

ratios = st.floats(0, 1)
trace_ids = st.integers(1, 2**128 - 1).map("{:032x}".format)
names = st.text("abc.*?[:/ \n", max_size=8)

SPAN = "b7ad6b7169203331"


@given(ratios, trace_ids)
def test_a_ratio_decides_by_the_end_of_the_trace_id_the_same_way_everywhere(ratio: float, trace_id: str) -> None:
    one, other = (sampler_of(Observability(sampling_ratio=ratio), random=Random(seed)) for seed in (1, 2))
    parent = Parent(trace_id, SPAN, True)
    decision = one.follow(parent, "a", "iii")
    assert decision == (tail_of(trace_id) < bound(ratio))
    assert decision == other.follow(parent, "b", "other") == other.keep(trace_id, "c", "sdk")


@given(ratios, ratios, trace_ids)
def test_a_larger_ratio_records_what_a_smaller_one_does(one: float, other: float, trace_id: str) -> None:
    small, large = (sampler_of(Observability(sampling_ratio=ratio)) for ratio in sorted((one, other)))
    parent = Parent(trace_id, SPAN, True)
    assert not small.follow(parent, "a", "iii") or large.follow(parent, "a", "iii")


@given(ratios, st.integers(0, 2**32))
def test_a_trace_that_begins_gets_an_id_that_every_node_agrees_to(ratio: float, seed: int) -> None:
    here, there = (sampler_of(Observability(sampling_ratio=ratio), random=Random(seed)) for _ in range(2))
    tail = here.begin("call a", "iii")
    if tail >= 0:
        assert there.follow(Parent(f"{1:016x}{tail:016x}", SPAN, True), "call b", "iii")


@pytest.mark.parametrize("ratio", [0.0, 0.01, 0.3, 1.0])
def test_so_many_traces_begin_as_the_ratio_says(ratio: float) -> None:
    one = sampler_of(Observability(sampling_ratio=ratio), random=Random(7))
    begun = sum(one.begin("call a", "iii") >= 0 for _ in range(20_000))
    assert begun == pytest.approx(20_000 * ratio, abs=4 * (20_000 * ratio * (1 - ratio)) ** 0.5)


@given(ratios, st.integers(0, 2**32), st.lists(st.booleans(), max_size=50))
def test_what_is_declined_counts_as_if_it_had_begun(ratio: float, seed: int, asked: list[bool]) -> None:
    one, other = (sampler_of(Observability(sampling_ratio=ratio), random=Random(seed)) for _ in range(2))
    for ask in asked:
        assert (-1 if ask and one.declines() else one.begin("a", "iii")) == other.begin("a", "iii")


@given(st.booleans(), st.booleans(), ratios)
def test_what_a_parent_refused_is_not_recorded(rules: bool, parent_based: bool, ratio: float) -> None:
    sampling = Sampling(ratio, (SamplingRule(1.0),) if rules else (), parent_based)
    one = sampler_of(Observability(sampling=sampling))
    assert not one.follow(Parent("a" * 32, SPAN, False), "call a", "iii")


def test_with_rules_the_parent_decides() -> None:
    one = sampler_of(Observability(sampling=Sampling(0.0, (SamplingRule(0.0, "call *"),))))
    assert one.ever
    assert one.follow(Parent("f" * 32, SPAN, True), "call a", "iii")
    assert one.keep("f" * 32, "execute a", "sdk")
    assert one.begin("call a", "iii") == -1


def test_with_rules_the_parent_does_not_decide_when_told_so() -> None:
    rules = (SamplingRule(0.0, "call *"), SamplingRule(1.0, service="sdk-?"))
    one = sampler_of(Observability(sampling=Sampling(0.5, rules, parent_based=False)))
    seen = Parent("0" * 31 + "1", SPAN, True)
    assert not one.follow(seen, "call a", "iii")
    assert one.follow(seen, "GET /a", "iii")
    assert not one.follow(Parent("f" * 32, SPAN, True), "GET /a", "iii")
    assert one.keep("f" * 32, "execute a", "sdk-1")


def test_the_first_rule_that_fits_counts() -> None:
    rules = (SamplingRule(1.0, "GET /pay/*"), SamplingRule(0.0, "GET *"), SamplingRule(1.0))
    one = sampler_of(Observability(sampling=Sampling(0.0, rules)))
    assert one.begin("GET /pay/card", "iii") >= 0
    assert one.begin("GET /other", "iii") == -1
    assert one.begin("POST /other", "iii") >= 0


def test_without_rules_and_limit_the_default_is_a_ratio_that_the_parent_does_not_overrule() -> None:
    one = sampler_of(Observability(sampling_ratio=1.0, sampling=Sampling(0.0)))
    assert not one.ever
    assert not one.follow(Parent("0" * 31 + "1", SPAN, True), "call a", "iii")


def test_when_the_file_says_nothing_every_context_is_followed_and_new_traces_are_limited() -> None:
    now = [0.0]
    one = sampler_of(Observability(), lambda: now[0], Random(1))
    assert one.follow(Parent("f" * 32, SPAN, True), "call a", "iii")
    assert sum(one.begin("call a", "iii") >= 0 for _ in range(1000)) == ROOTS_PER_SECOND
    now[0] = 0.5
    assert sum(one.begin("call a", "iii") >= 0 for _ in range(1000)) == ROOTS_PER_SECOND / 2
    assert one.follow(Parent("f" * 32, SPAN, True), "call a", "iii")


def test_a_trace_that_a_rule_refuses_takes_no_token() -> None:
    sampling = Sampling(1.0, (SamplingRule(0.0, "noise"),), rate_limit=RateLimit(1))
    one = sampler_of(Observability(sampling=sampling), lambda: 0.0)
    assert all(one.begin("noise", "iii") == -1 for _ in range(100))
    assert one.begin("call a", "iii") >= 0
    assert one.begin("call a", "iii") == -1


@given(st.floats(0.1, 1000), st.lists(st.floats(0, 2), max_size=200))
def test_a_bucket_lets_through_what_it_holds_and_what_comes_since(rate: float, pauses: list[float]) -> None:
    bucket, now, tokens, held = TokenBucket(rate), 0.0, max(1.0, rate), max(1.0, rate)
    for pause in pauses:
        now += pause
        tokens = min(held, tokens + pause * rate)
        if abs(tokens - 1) < 1e-6:  # the model and the bucket round in other ways
            return
        assert bucket.ready(now) == (tokens >= 1)
        if tokens >= 1:
            bucket.take(now)
            tokens -= 1


@given(names, names)
def test_a_pattern_fits_whole_names_only(glob: str, name: str) -> None:
    plain = glob.replace("[", "[[]")
    assert (pattern(glob).fullmatch(name) is not None) == fnmatch.fnmatchcase(name, plain)


def test_a_pattern_with_many_stars_is_quick() -> None:
    assert pattern("*" * 1000 + "b").fullmatch("a" * 5000) is None


def test_of_what_others_began_only_rules_about_a_service_leave_spans_out() -> None:
    rules = (SamplingRule(0.0, "execute *"), SamplingRule(0.0, "*", "noisy"))
    one = sampler_of(Observability(sampling=Sampling(0.0, rules)))
    assert one.keep("f" * 32, "execute a", "sdk")
    assert not one.keep("f" * 32, "execute a", "noisy")
