"""What a recording's results look like in a terminal."""

from __future__ import annotations

from flow.look.words import clock, percent
from flow.recordings.classify import full_name


def classification(content: dict) -> list[str]:
    """What was found in a recording (flow.recordings.outputs.summary, with its files): how long each thing is said."""
    head = f"{content['recording']}, lead {content['lead']}, {content['sampling_rate_hz']:g} Hz"
    head = f"{head}, {clock(content['duration_s'])}, {content['windows']} windows"
    notes = [f"note: {note}" for note in content["notes"]]
    if content["trained_on"]:
        notes.append("note: the network was trained on this recording: what it finds here says nothing of other people")
    return [head, *notes, *_said(content["seconds_said"]), *_beats(content["rhythm"]), *content["files"]]


def _beats(rhythm: dict) -> list[str]:
    """Heart rate, premature beats and the longest pause (flow.recordings.beats.Beats.summary)."""
    if rhythm["heart_rate_bpm"] is None:
        return []
    rate = f"heart rate {rhythm['heart_rate_bpm']:.0f} a minute"
    rate += f" ({rhythm['lowest_heart_rate_bpm']:.0f} to {rhythm['highest_heart_rate_bpm']:.0f})"
    pause = f"longest pause {rhythm['longest_pause_s']:.2f} s at {clock(rhythm['longest_pause_at_s'])}"
    found = [f"{rate}, {pause}, {rhythm['beats']:,} beats ({rhythm['found_by']})"]
    if rhythm["premature_per_hour"] is not None:
        found.append(", ".join(f"{word} {number:g} an hour" for word, number in rhythm["premature_per_hour"].items()))
    return found


def archive(summary: dict) -> list[str]:
    """What was found in a folder of recordings (flow.recordings.archive): how long each is said, what was refused."""
    classified = summary["recordings"] - len(summary["refused"])
    return [
        f"{classified} of {summary['recordings']} recordings, {summary['windows']:,} windows "
        f"({summary['classified_before']} recordings were classified before)",
        *_said(summary["seconds_said"]),
        *(f"refused: {name}: {why}" for name, why in summary["refused"].items()),
        summary["table"],
        summary["rows"],
    ]


def _said(seconds_said: dict[str, float]) -> list[str]:
    whole = sum(seconds_said.values())
    return [
        f"  {said:<9}  {clock(seconds):>8}  {percent(seconds / whole):>8}  {full_name(said)}"
        for said, seconds in sorted(seconds_said.items(), key=lambda item: -item[1])
    ]
