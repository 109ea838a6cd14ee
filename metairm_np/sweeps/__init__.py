"""Many trials: serial, in local processes or on Dask, whatever stops them."""

from metairm_np.sweeps.adopt import adopt
from metairm_np.sweeps.contents import Contents
from metairm_np.sweeps.executors import Workers, dask, given, processes, serial
from metairm_np.sweeps.folder import Folder
from metairm_np.sweeps.sweep import Estimate, Listener, run
from metairm_np.sweeps.trial import Task, WorkersError, carry_out, tasks_of

__all__ = [
    "Contents",
    "Estimate",
    "Folder",
    "Listener",
    "Task",
    "Workers",
    "WorkersError",
    "adopt",
    "carry_out",
    "dask",
    "given",
    "processes",
    "run",
    "serial",
    "tasks_of",
]
