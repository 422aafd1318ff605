from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.cluster import ClusterMetadata
from kafka.coordinator.assignors.abstract import RebalanceProtocol
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.protocol.consumer.group import JoinGroupResponse
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription
from kafka.protocol.metadata import MetadataResponse

from streamguard.logs.kafka.assignor import TaskAssignor

KINDS = (("predictions", "labels"), ("outcomes",))
TOPICS = {"predictions", "labels", "outcomes"}


def cluster(**partitions: int) -> ClusterMetadata:
    """What the client knows after a broker has answered with these topics."""
    found = ClusterMetadata()
    learn(found, **partitions)
    return found


def learn(known: ClusterMetadata, **partitions: int) -> None:
    """Another answer of the broker."""
    topic = MetadataResponse.MetadataResponseTopic
    one = topic.MetadataResponsePartition
    answer = MetadataResponse(
        brokers=[MetadataResponse.MetadataResponseBroker(1, "127.0.0.1", 9092, None)],
        controller_id=1,
        topics=[
            topic(0, name, is_internal=False, partitions=[one(0, number, 1, [1], [1]) for number in range(count)])
            for name, count in partitions.items()
        ],
    )
    known.update_metadata(MetadataResponse.decode(answer.encode(version=1), version=1))


def joined(assignor: Any, name: str, instance: str | None = None, topics: set[str] = TOPICS) -> Any:
    """A member as the leader sees it: what it sent has been over the wire."""
    sent = assignor.metadata(topics).encode()
    return JoinGroupResponse.JoinGroupResponseMember(name, instance, ConsumerProtocolSubscription.decode(sent))


def over_the_wire(assignments: Mapping[str, Any]) -> dict[str, Any]:
    """Assignments as the members get them."""
    return {name: ConsumerProtocolAssignment.decode(each.encode()) for name, each in assignments.items()}


def partitions(assignments: Mapping[str, Any]) -> dict[str, list[tuple[str, int]]]:
    """What each member reads."""
    return {name: sorted(map(tuple, each.partitions())) for name, each in over_the_wire(assignments).items()}


class Group:
    """Assignors of several members; the first by name leads."""

    def __init__(self, known: ClusterMetadata) -> None:
        self.known = known
        self.assignors: dict[str, TaskAssignor] = {}
        self.generation = 0

    def rebalance(self, *names: str) -> dict[str, list[tuple[str, int]]]:
        """A generation of these members; the others are away."""
        self.generation += 1
        members = [joined(self.assignors.setdefault(name, TaskAssignor(KINDS)), name) for name in names]
        assigned = self.assignors[min(names)].assign(self.known, members)
        for name, each in over_the_wire(assigned).items():
            self.assignors[name].on_assignment(each, self.generation)
        return partitions(assigned)


def test_partitions_that_are_read_together_stay_together() -> None:
    """Each member has the same partitions of both inputs, and all are read."""
    group = Group(cluster(predictions=5, labels=5, outcomes=2))
    given = group.rebalance("a", "b", "c")
    for each in given.values():
        assert [number for topic, number in each if topic == "labels"] == [
            number for topic, number in each if topic == "predictions"
        ]
    assert sorted(each for own in given.values() for each in own) == sorted(
        [(topic, number) for topic in ("labels", "predictions") for number in range(5)]
        + [("outcomes", number) for number in range(2)]
    )


@given(st.lists(st.sets(st.sampled_from("abcde"), min_size=1), min_size=1, max_size=10), st.integers(1, 9))
def test_who_was_there_before_keeps_what_balance_allows(rounds: list[set[str]], count: int) -> None:
    """Over any joins and leaves, as the client does them, all is read once; the same group again moves nothing."""
    group = Group(cluster(predictions=count, labels=count, outcomes=3))
    for names in rounds:
        given = group.rebalance(*sorted(names))
        assert given.keys() == names
        assert sum(map(len, given.values())) == 2 * count + 3
        assert group.rebalance(*sorted(names)) == given


def test_a_member_that_comes_back_takes_nothing_from_the_new_owner() -> None:
    """What was lost is claimed with the generation it was had in, and so loses to the one after it."""
    group = Group(cluster(predictions=4, labels=4, outcomes=2))
    before = group.rebalance("a", "b")
    during = group.rebalance("b")
    assert set(before["a"]) < set(during["b"])
    after = group.rebalance("a", "b")
    assert set(after["b"]) < set(during["b"])
    third = group.rebalance("a", "b", "c")
    assert set(third["a"]) <= set(after["a"])
    assert set(third["b"]) <= set(after["b"])


def test_a_member_that_comes_back_gets_what_nobody_had_meanwhile() -> None:
    """A generation that nobody else was told of leaves the former claim the best there is."""
    group = Group(cluster(predictions=4, labels=4, outcomes=2))
    before = group.rebalance("a", "b")
    group.generation += 1
    assert group.rebalance("a", "b") == before


def test_a_static_member_is_known_by_its_own_name() -> None:
    """Where all of a group are new, and no one claims anything, the names decide, not the member IDs."""
    known, assignor = cluster(predictions=3, labels=3, outcomes=1), TaskAssignor(KINDS)
    first = assignor.assign(known, [joined(TaskAssignor(KINDS), *each) for each in (("x", "w1"), ("y", "w2"))])
    again = assignor.assign(known, [joined(TaskAssignor(KINDS), *each) for each in (("a", "w2"), ("b", "w1"))])
    assert partitions(again) == {"a": partitions(first)["y"], "b": partitions(first)["x"]}


def test_the_smallest_number_of_partitions_counts() -> None:
    """Partitions without a partner in the other topic are nobody's."""
    given = Group(cluster(predictions=4, labels=2, outcomes=1)).rebalance("a")
    assert given == {
        "a": [("labels", 0), ("labels", 1), ("outcomes", 0), ("predictions", 0), ("predictions", 1)],
    }


def test_a_topic_not_known_yet() -> None:
    """Its kind has no tasks, the other kind has; nothing is raised."""
    assert Group(cluster(predictions=2, outcomes=1)).rebalance("a") == {"a": [("outcomes", 0)]}
    assert Group(ClusterMetadata()).rebalance("a", "b") == {"a": [], "b": []}


def test_a_topic_not_known_for_the_moment_keeps_its_tasks() -> None:
    """The client forgets a topic when the broker reports an error; nothing moves for that."""
    group = Group(cluster(predictions=3, labels=3, outcomes=2))
    before = group.rebalance("a", "b")
    learn(group.known, predictions=3)
    assert group.rebalance("a", "b") == before


def test_new_partitions_are_shared_out() -> None:
    """Who has tasks keeps them when more come."""
    group = Group(cluster(predictions=2, labels=2, outcomes=1))
    before = group.rebalance("a", "b")
    learn(group.known, predictions=4, labels=4, outcomes=1)
    after = group.rebalance("a", "b")
    assert all(set(before[name]) < set(after[name]) for name in "ab")


def test_a_member_that_reads_other_topics_gets_nothing() -> None:
    """What it cannot read is left to the others; it is told so, as every member is."""
    known, assignor = cluster(predictions=2, labels=2, outcomes=1), TaskAssignor(KINDS)
    given = assignor.assign(known, [joined(assignor, "a", topics={"predictions"}), joined(assignor, "b")])
    assert {name: len(each) for name, each in partitions(given).items()} == {"a": 0, "b": 5}


def test_a_whole_topic_goes_to_one_member_and_another_takes_over() -> None:
    """All partitions of a kind are one task, which stays where it is; who has none stands by."""
    kinds = (("predictions",), ("labels",))
    known = cluster(predictions=3, labels=2)
    assignors = {name: TaskAssignor(kinds, whole=True) for name in "abc"}

    def rebalance(generation: int, *names: str) -> dict[str, list[tuple[str, int]]]:
        members = [joined(assignors[name], name, topics={"predictions", "labels"}) for name in names]
        assigned = assignors[names[0]].assign(known, members)
        for name, each in over_the_wire(assigned).items():
            assignors[name].on_assignment(each, generation)
        return partitions(assigned)

    first = rebalance(1, "b")
    assert first == {"b": [("labels", 0), ("labels", 1), ("predictions", 0), ("predictions", 1), ("predictions", 2)]}
    second = rebalance(2, "a", "b", "c")
    assert sorted(map(len, second.values())) == [0, 2, 3]
    keeper = next(name for name, each in second.items() if not each)
    assert keeper != "b"
    assert sum(map(len, rebalance(3, *(name for name in "abc" if name != "b")).values())) == 5


def test_garbage_from_a_member_is_no_claim() -> None:
    """User data of any kind is taken."""
    known, assignor = cluster(predictions=2, labels=2, outcomes=1), TaskAssignor(KINDS)
    for data in (None, b"", b"\xff\x00", b'{"v":1}'):
        member = joined(assignor, "a")
        member.metadata.user_data = data
        assert len(partitions(assignor.assign(known, [member]))["a"]) == 5


def test_what_the_client_asks_of_an_assignor() -> None:
    """Eager, under a name of its own."""
    assert TaskAssignor(KINDS).supported_protocols() == [RebalanceProtocol.EAGER]
    assert TaskAssignor(KINDS).name == "streamguard"


@pytest.mark.parametrize("kinds", [(("a",), ()), (("a", "b"), ("a",)), (("a", "a"),)])
def test_a_topic_belongs_to_one_kind(kinds: tuple[tuple[str, ...], ...]) -> None:
    """A partition in two tasks would be given to two members."""
    with pytest.raises(ValueError, match="topics of its own"):
        TaskAssignor(kinds)


def test_static_and_dynamic_members_side_by_side() -> None:
    """Each gets its share, in whatever order they come; the client's range assignor forgets one of them."""
    known, order = cluster(predictions=6, labels=6, outcomes=3), [("m1", "s1"), ("m2", None), ("m3", "s2")]
    stock = RangePartitionAssignor()
    forgotten = partitions(stock.assign(known, [joined(stock, *each) for each in order]))
    assert {name: len(each) for name, each in forgotten.items()} != {"m1": 5, "m2": 5, "m3": 5}
    assert min(map(len, forgotten.values())) == 0
    ours = TaskAssignor(KINDS)
    given = partitions(ours.assign(known, [joined(ours, *each) for each in order]))
    assert {name: len(each) for name, each in given.items()} == {"m1": 5, "m2": 5, "m3": 5}


@pytest.mark.parametrize("order", ["AB", "BA"])
def test_a_zombie_beside_the_new_owner(order: str) -> None:
    """What A had and lost to B stays with B. The client's cooperative-sticky believes whoever is named last."""

    def round_one(make: Callable[[], Any]) -> dict[str, list[tuple[str, int]]]:
        members = {"A": make(), "B": make()}
        members["A"].on_assignment(ConsumerProtocolAssignment(0, [("predictions", [0, 1])], b""), 4)
        members["B"].on_assignment(ConsumerProtocolAssignment(0, [("predictions", [0, 1, 2, 3])], b""), 5)
        seen = [joined(members[name], name, topics={"predictions"}) for name in order]
        known = cluster(predictions=4, labels=4, outcomes=2)
        return partitions(members["A"].assign(known, seen))

    first, last = [("predictions", 0), ("predictions", 1)], [("predictions", 2), ("predictions", 3)]
    assert round_one(lambda: TaskAssignor((("predictions",),))) == {"A": last, "B": first}
    # Given to A at once: without the second round that lets B, which reads them, stop first.
    assert round_one(CooperativeStickyAssignor) == {"A": first if order == "BA" else [], "B": last}
