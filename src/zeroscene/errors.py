"""The errors that a user of zeroscene can cause; each says what was wrong, where, and what to do.

Everything else that is raised is a defect of the package and is left to crash.
"""


class ZeroSceneError(Exception):
    """Base of all errors a user can cause; the command line prints them as one line."""


class OptionError(ZeroSceneError, ValueError):
    """An option is unknown, out of range, or contradicts another."""


class DatasetNotFoundError(ZeroSceneError, FileNotFoundError):
    """A folder, picture set or table is not where it was said to be."""


class DataFormatError(ZeroSceneError, ValueError):
    """A file or an array is there but does not hold what its format promises."""


class PictureError(ZeroSceneError, ValueError):
    """One picture cannot be decoded; runs over many pictures list it and go on."""


class UnknownNameError(ZeroSceneError, LookupError):
    """A class, attribute, method or benchmark is not known; the message lists the nearest names."""


class DuplicateNameError(ZeroSceneError, ValueError):
    """Two entries that must be distinct are the same after normalisation."""


class SplitError(ZeroSceneError, ValueError):
    """A split does not fit its data: unknown classes, overlap of seen and unseen, too few classes."""


class EncoderMismatchError(ZeroSceneError, ValueError):
    """Embeddings or class vectors come from another encoder than the one this method was fitted on."""


class EncoderError(ZeroSceneError, RuntimeError):
    """An encoder cannot be loaded, or cannot do what was asked of it."""


class NotFittedError(ZeroSceneError, RuntimeError):
    """A method is asked for scores before it was fitted."""


class StoreError(ZeroSceneError, RuntimeError):
    """An embedding store or a result folder is damaged, or belongs to another run."""


class BusyError(StoreError):
    """Another run is writing the same store or output at this moment; what lies there is its live work."""


class MissingExtraError(ZeroSceneError, ImportError):
    """An optional dependency is needed; the message names the extra that installs it."""
