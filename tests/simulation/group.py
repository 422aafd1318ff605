"""A consumer group of the classic protocol: members, generations, rebalances, fencing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from kafka import errors

from streamguard.core.records import TopicPartition
from tests.simulation.world import World


class JoinedMember(NamedTuple):
    """What an assignor is told of a member."""

    member_id: str
    group_instance_id: str | None
    metadata: Any


class Client(Protocol):
    """A consumer, as its group sees it."""

    instance: str | None
    assignor: Any

    @property
    def is_beating(self) -> bool:
        """Whether its heartbeats arrive."""
        ...

    def heard(self, error: Exception | None) -> None:
        """What the answer to a heartbeat says."""
        ...


@dataclass(eq=False, slots=True)
class Member:
    """Whom the group counts on until `deadline_s`."""

    id: str
    client: Client
    subscription: Any
    deadline_s: float
    has_joined: bool = True


@dataclass(slots=True)
class Group:
    """One group; its members' heartbeats come twice a second."""

    world: World
    session_timeout_s: float
    counts: Callable[[str], set[int] | None]
    """The partition numbers of a topic."""
    members: dict[str, Member] = field(default_factory=dict)
    generation: int = 0
    is_stable: bool = True
    assignments: dict[str, Any] = field(default_factory=dict)
    numbers: int = 0

    def beat(self) -> None:
        """Half a second of heartbeats, and of missing ones."""
        for member in list(self.members.values()):
            if member.client.is_beating:
                member.deadline_s = self.world.now_s + self.session_timeout_s
                if not self.is_stable and not member.has_joined:
                    member.client.heard(errors.RebalanceInProgressError())
            elif self.world.now_s > member.deadline_s:
                self.remove(member.id)
        self.world.after(0.5, self.beat)

    def find(self, member_id: str) -> Exception | None:
        """What a member that is not known any more is told."""
        return None if member_id in self.members else errors.UnknownMemberIdError()

    def join(self, client: Client, member_id: str, subscription: Any) -> str:
        """Take part in the next generation, or the current one where a known name comes back; returns the ID."""
        known = self.members.get(member_id)
        if known is None and client.instance is not None:
            former = next((each for each in self.members.values() if each.client.instance == client.instance), None)
            if former is not None:
                return self._replace(former, client, subscription)
        if known is None:
            self.numbers += 1
            known = Member(f"member-{self.world.random.randrange(100)}-{self.numbers}", client, subscription, 0.0)
            self.members[known.id] = known
        known.subscription, known.has_joined = subscription, True
        known.deadline_s = self.world.now_s + self.session_timeout_s
        self._rebalance(but=known)
        return known.id

    def _replace(self, former: Member, client: Client, subscription: Any) -> str:
        """Static membership (KIP-345): the newcomer is who it was, with its assignment; the former is fenced."""
        self.numbers += 1
        fresh = Member(f"{client.instance}-{self.numbers}", client, subscription, 0.0)
        fresh.deadline_s = self.world.now_s + self.session_timeout_s
        if former.client is not client:
            former.client.heard(errors.FencedInstanceIdError())
        self.members = {
            (fresh.id if each is former else name): (fresh if each is former else each)
            for name, each in self.members.items()
        }
        self.assignments[fresh.id] = self.assignments.pop(former.id, None)
        if not self.is_stable or self.assignments[fresh.id] is None:
            self._rebalance(but=fresh)
        return fresh.id

    def remove(self, member_id: str) -> None:
        """It left, or was silent for too long."""
        member = self.members.pop(member_id, None)
        if member is not None:
            self.assignments.pop(member_id, None)
            self._rebalance(but=None)

    def _rebalance(self, but: Member | None) -> None:
        if self.is_stable:
            self.is_stable = False
            for member in self.members.values():
                member.has_joined = member is but
        if self.members and all(member.has_joined for member in self.members.values()):
            # A moment, in which others may come.
            self.world.after(0.01, self._complete)

    def _complete(self) -> None:
        if self.is_stable or not self.members or not all(each.has_joined for each in self.members.values()):
            return
        self.generation += 1
        self.is_stable = True
        leader = next(iter(self.members.values()))
        joined = [JoinedMember(each.id, each.client.instance, each.subscription) for each in self.members.values()]
        self.assignments = dict(leader.client.assignor.assign(self, joined))

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """As an assignor asks its cluster's metadata."""
        return self.counts(topic)

    def check(self, metadata: Any) -> None:
        """Whether a transaction's offsets are taken from this member (KIP-447).

        One without a generation and without a name is not checked at all.
        """
        if metadata.generation_id < 0 and not metadata.member_id and metadata.group_instance_id is None:
            return
        if metadata.group_instance_id is not None:
            same = [each for each in self.members.values() if each.client.instance == metadata.group_instance_id]
            if same and same[0].id != metadata.member_id:
                raise errors.FencedInstanceIdError
        if metadata.member_id not in self.members:
            raise errors.UnknownMemberIdError
        if metadata.generation_id != self.generation:
            raise errors.IllegalGenerationError


def partitions_of(assignment: Any) -> set[TopicPartition]:
    """An assignment, as places."""
    if assignment is None:
        return set()
    return {TopicPartition(each.topic, each.partition) for each in assignment.partitions()}
