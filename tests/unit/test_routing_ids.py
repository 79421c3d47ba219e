"""Ids made by a node."""

import uuid

from iii_cluster.routing.ids import Ids, maker_of
from tests.support.gateway import cluster_map

NODE = "gateway-0badcafe"


def test_ids_are_random_uuids_that_begin_with_the_tag_of_their_maker() -> None:
    ids = Ids(NODE)
    made = [ids.new() for _ in range(1000)]
    assert len(set(made)) == len(made)
    for id in made:
        parsed = uuid.UUID(id)
        assert str(parsed) == id
        assert (parsed.version, parsed.variant) == (4, uuid.RFC_4122)
        assert id.startswith("0badcafe-")


def test_every_digit_but_those_that_say_something_is_random() -> None:
    ids = Ids(NODE)
    made = [ids.new() for _ in range(1000)]
    kinds = [len({id[place] for id in made}) for place in range(36)]
    assert kinds[:8] == [1] * 8
    assert [place for place in range(8, 36) if kinds[place] != 16] == [8, 13, 14, 18, 19, 23]
    assert kinds[19] == 4


def test_the_maker_is_found_by_the_id() -> None:
    id = Ids(NODE).new()
    assert maker_of(id, cluster_map(NODE)) == NODE
    assert maker_of(id, cluster_map("gateway-00000000")) == ""
