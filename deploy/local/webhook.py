"""What else only the log of the webhook worker would tell: that its receiver is away, or refuses events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deploy.local.counters import Page

AWAY_S = 10.0
"""A receiver that takes nothing for so long is worth a sentence; one that is deployed anew comes back sooner."""


@dataclass(slots=True)
class WebhookWatch:
    """Compares readings of the worker's metrics page and says what is new."""

    log: Path
    is_away: bool = False
    refused: float = 0.0

    def sentences(self, page: Page | None) -> list[str]:
        """What to tell after one more reading (None: the worker did not answer), each thing once."""
        if page is None:
            return []
        told = []
        was_away, self.is_away = self.is_away, page.total("webhook_retry_seconds") > AWAY_S
        if self.is_away and not was_away:
            told.append(
                f"the webhook's receiver takes nothing; events wait in Kafka and are tried again; see {self.log}"
            )
        if was_away and not self.is_away:
            told.append("the webhook's receiver takes events again")
        refused, self.refused = self.refused, page.total("webhook_refused_total")
        if self.refused > refused:
            told.append(f"the webhook's receiver refused events, and they were passed over; see {self.log}")
        return told
