"""One partition of the rejected topic, as one run goes along it: from what is committed to where it ended at the start.

That end is what keeps records from being sent in circles: what is rejected again while a run goes on comes after it.
"""

from dataclasses import dataclass, field, replace
from itertools import islice

from streamguard.core.records import Batch
from streamguard.logs.interface import Record
from streamguard.rejected.judging import Fate, Judged, Rules, judge
from streamguard.rejected.letter import letters
from streamguard.rejected.settled import Settled


@dataclass(slots=True)
class Part:
    """What is to be committed at once: records, and how far the partition is with them."""

    records: list[Record] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    """Of every record that was looked at, those that earlier runs have sent left out."""


@dataclass(slots=True)
class Course:
    """Decides and notes; nothing is read or written here."""

    settled: Settled
    end: int
    position: int = 0
    """The next offset to be looked at."""
    is_full: bool = False
    """The note has no more room: nothing further is sent in this partition."""

    @staticmethod
    def begun(settled: Settled, start: int, end: int) -> "Course":
        """From what is committed, where retention has left all from `start` on."""
        settled.begin(start)
        return Course(settled, end, settled.offset)

    @property
    def is_done(self) -> bool:
        """Whether all before the end was looked at."""
        return self.position >= self.end

    def take(self, batch: Batch, rules: Rules, now_ms: int, most: int) -> Part:
        """Look at the next records of the batch, `most` at the most; the same batch may be given again.

        Raises `ConfigError`, with no effect, where the user's function fails.
        """
        batch = batch.before(self.end)
        found = list(islice((each for each in letters(batch) if each.offset >= self.position), most))
        fresh = [each for each in found if each.offset not in self.settled]
        judged = dict(zip((each.offset for each in fresh), judge(fresh, rules, now_ms), strict=True))
        part = Part()
        for letter in found:
            each = judged.get(letter.offset)
            if each is None:
                self.settled.pass_over(letter.offset)
            else:
                self._note(each, part)
        is_last = not found or found[-1].offset == batch.offsets[-1]
        self.position = batch.next_offset if is_last else found[-1].offset + 1
        if self.is_done:
            self.settled.end(self.end)
        return part

    def reach(self, position: int) -> None:
        """Reading has come to this offset, and there was no record."""
        self.position = max(self.position, min(position, self.end))
        if self.is_done:
            self.settled.end(self.end)

    def _note(self, each: Judged, part: Part) -> None:
        if each.record is not None and (self.is_full or self.settled.is_full):
            # For good: what comes later could be sent where this was not, and the note would not be any shorter.
            self.is_full = True
            each = replace(each, fate=Fate.NO_ROOM, record=None)
        part.judged.append(each)
        if each.record is None:
            self.settled.pass_over(each.letter.offset)
        else:
            part.records.append(each.record)
            self.settled.settle(each.letter.offset)
