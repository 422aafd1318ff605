"""The topic of what could not be delivered: which one, and what fits into it."""

from pathlib import Path

import pytest

from streamguard.errors import ConfigError
from streamguard.handlers.alert import Alert
from streamguard.handlers.functions import on_alert
from streamguard.handlers.sink import PermanentError
from streamguard.handlers.subscriber import Subscriber
from streamguard.logs.interface import TopicInfo
from tests.handlers.helpers import Place, subscribed


@on_alert(start="earliest")
def refuses(_: Alert) -> None:
    """Nothing is ever delivered."""
    raise PermanentError("no such hook")


@pytest.mark.parametrize("role", ["alerts", "rejected"])
def test_dead_letters_need_a_topic_of_their_own(tmp_path: Path, role: str) -> None:
    """On that of alerts they would be delivered again."""
    place = Place(tmp_path)
    place.log.close()
    place.settings["dead_letters"] = {"topic": place.config.topics[role]}
    with pytest.raises(ConfigError, match=rf"^dead_letters\.topic must differ from {role}\.topic, both are '"):
        Subscriber(place.config, [refuses])


@pytest.mark.parametrize(("alerts_bytes", "dead_bytes"), [(None, None), (1_048_576, 2_097_152)])
def test_the_largest_alert_fits_with_its_reason(
    tmp_path: Path, alerts_bytes: int | None, dead_bytes: int | None
) -> None:
    """Or no offset could be committed after it: headers count as well for a broker."""
    place = Place(tmp_path, alerts={"topic": "own"})
    place.log.create(TopicInfo("own", 1, max_record_bytes=alerts_bytes))
    topic = place.config.dead_letters_topic
    with subscribed(place, [refuses]) as wait:
        wait(lambda: bool(place.log.topics([topic])))
    assert place.log.topics([topic])[topic] == TopicInfo(topic, 1, max_record_bytes=dead_bytes)
    place.log.close()
