"""One event, one row: which lines of a journal are duplicates, by docs/schema.md.

Two records of one account with the same eventID and equal JSON are one event. The
first is the row. Other records with that eventID stay, and say so.
"""

from values import is_text

REUSED = "event_id_reused"


class Events:
    """Sees the lines of a journal in their order."""

    def __init__(self):
        # (account, eventID) -> canonical text -> its first line and that line's row
        self.seen = {}
        self.duplicates = []
        self.wrong = []

    def see(self, at, place, event_id, text, row):
        if not (is_text(event_id) and event_id):
            if row is None:
                self.wrong.append(f"line {at} has no eventID and is no row")
            elif REUSED in anomalies(row):
                self.wrong.append(f"row {at} has no eventID and says it was reused")
            return
        account, _, date = place
        first = self.seen.setdefault((account, event_id), {})
        if text in first:
            self.duplicates.append((event_id, text))
            if row is not None:
                self.wrong.append(f"row {at} is the event of row {first[text][0]}")
            return
        first[text] = at, row, date
        if row is None:
            self.wrong.append(f"line {at} is in neither the table nor quarantine")

    def problems(self):
        """Every record of a reused eventID says so, the first one of a day perhaps not:
        its file may not have been written again since. No other row says so."""
        for (account, event_id), records in self.seen.items():
            dates = set()
            for at, row, date in records.values():
                if row is None:
                    continue
                told = REUSED in anomalies(row)
                if told and len(records) == 1:
                    self.wrong.append(f"row {at} says that {event_id} was reused")
                was_seen = date in dates
                dates.add(date)
                if not told and was_seen:
                    self.wrong.append(f"row {at} does not say that {account}'s {event_id} was reused")
        return self.wrong


def anomalies(row):
    return (row["anomalies"] or "").split(",")
