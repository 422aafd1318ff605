"""How the workers of a group share out their tasks: streamguard's own assignor for kafka-python.

Those that come with the client do not fit. Cooperative-sticky separates partitions that are read together, and sends
no generation, so that a member which was away takes back what has long been another's. Range forgets some static
members where dynamic ones stand between them.

Eager: all stop reading while the group agrees, and whoever gets a task back goes on where it was. All of it runs on
the client's own thread.
"""

from collections.abc import Collection, Sequence
from typing import Any

from kafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription

from streamguard.logs.assignment import Claim, Task, assign, decode, encode

# The eager protocol's messages: topics and user data.
_PROTOCOL_VERSION = 0


class TaskAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """Shares out tasks; one instance for each consumer.

    `kinds` are the topics that each kind of task reads together, the same and in the same order for all members:
    of `(("predictions", "labels"), ("outcomes",))` task (0, 3) is predictions-3 with labels-3, and (1, 2) is
    outcomes-2. Where the topics of a kind differ in partitions, the smallest number counts.

    With `whole`, a kind is one task, with all partitions of its topics; the members must agree on that, too.
    """

    # Members that share no name cannot be in one group: a format that others do not read needs another name.
    name = "streamguard"

    def __init__(self, kinds: Sequence[Sequence[str]], *, whole: bool = False) -> None:
        self._whole = whole
        self._kinds = tuple(tuple(topics) for topics in kinds)
        self._topics = {topic for topics in self._kinds for topic in topics}
        if not all(self._kinds) or len(self._topics) < sum(map(len, self._kinds)):
            raise ValueError(f"each kind of task needs topics of its own: {self._kinds}")
        self._claim = Claim()
        self._partitions: dict[str, int] = {}

    def metadata(self, topics: Collection[str]) -> Any:
        """What this member sends when it joins.

        It claims what it was given last also where that was lost since: it names the generation, and so loses
        to whoever was given it later, and only to them.
        """
        return ConsumerProtocolSubscription(_PROTOCOL_VERSION, sorted(topics), encode(self._claim))

    def on_assignment(self, assignment: Any, generation: int) -> None:
        """Note what this member was given."""
        given = {(each.topic, 0 if self._whole else each.partition) for each in assignment.partitions()}
        tasks = (
            Task(kind, partition)
            for kind, topics in enumerate(self._kinds)
            for topic, partition in given
            if topic == topics[0] and all((other, partition) in given for other in topics)
        )
        self._claim = Claim(generation, frozenset(tasks))

    def assign(self, cluster: Any, members: Sequence[Any]) -> dict[str, Any]:
        """What each member is given, by member ID.

        A kind of which a topic was never known has no tasks yet: the client asks for a rebalance when its
        metadata has come. A member that does not read all topics is given nothing.
        """
        counts = [min(self._count(cluster, topic) for topic in topics) for topics in self._kinds]
        if self._whole:
            counts = [min(count, 1) for count in counts]
        ids, claims = {}, {}
        for member in members:
            if self._topics <= set(member.metadata.topics):
                # A static member is known by its own name, which stays when its member ID changes.
                name = f"{member.group_instance_id or ''}\0{member.member_id}"
                ids[name], claims[name] = member.member_id, decode(member.metadata.user_data)
        given = {ids[name]: tasks for name, tasks in assign(counts, claims).items()}
        return {member.member_id: self._assignment(given.get(member.member_id, frozenset())) for member in members}

    def _count(self, cluster: Any, topic: str) -> int:
        """The topic's partitions, which are numbered without gaps; where it is not known now, as it last was.

        The client forgets a topic on any error in its metadata. To give nothing then would move every task twice.
        """
        partitions = cluster.partitions_for_topic(topic)
        if partitions:
            self._partitions[topic] = max(partitions) + 1
        return self._partitions.get(topic, 0)

    def _assignment(self, tasks: Collection[Task]) -> Any:
        topics: dict[str, list[int]] = {}
        for kind, partition in sorted(tasks):
            for topic in self._kinds[kind]:
                numbers = range(self._partitions[topic]) if self._whole else (partition,)
                topics.setdefault(topic, []).extend(numbers)
        return ConsumerProtocolAssignment(_PROTOCOL_VERSION, sorted(topics.items()), b"")
