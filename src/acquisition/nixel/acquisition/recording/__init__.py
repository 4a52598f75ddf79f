"""Recording a run: frames go from a device through a bounded buffer to the disk, and none is lost in silence.

`Recorder` takes frames from the thread that speaks to the device and hands them to one that writes a `Spool`: a folder
with the raw frames and a journal of those that are committed. A finished spool becomes a dataset; one that a crash left
behind still holds every committed frame, and `recover` says which.
"""

from nixel.acquisition.recording.errors import RecordingError
from nixel.acquisition.recording.journal import FrameRecord, Journal
from nixel.acquisition.recording.recorder import Counters, Recorder
from nixel.acquisition.recording.ring import FrameRing
from nixel.acquisition.recording.spool import Recovered, Spool, recover, spools

__all__ = [
    "Counters",
    "FrameRecord",
    "FrameRing",
    "Journal",
    "Recorder",
    "RecordingError",
    "Recovered",
    "Spool",
    "recover",
    "spools",
]
