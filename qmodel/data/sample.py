"""The sample that ships with the package: one minute of real ECG, for first steps without a download."""

from pathlib import Path

from qmodel.data import recording
from qmodel.data.recording import Recording

PATH = Path(__file__).parent / "mitdb106" / "mitdb106.hea"
CREDIT = (
    "60 s of record 106, MIT-BIH Arrhythmia Database, PhysioNet (Open Data Commons Attribution 1.0); "
    "the shipped networks were trained on this record"
)


def read() -> Recording:
    """Both leads, 360 Hz: sinus rhythm, then bigeminy from second 21. Source: `mitdb106/README.md`."""
    return recording.read(PATH)
