"""The one exception family: each message says what is wrong, with which input, and what to do."""


class SignspotError(Exception):
    """Base of every error that Signspot raises on purpose; its text is fit to show to a user."""


class SourceError(SignspotError):
    """A camera, stream or file that cannot be opened or read."""


class SourceUnreachable(SourceError):
    """Nothing answers at the source's address, or the device does not exist."""


class SourceUnreadable(SourceError):
    """The source opens but gives no decodable picture: a damaged file, no video track, garbage."""


class SourceUnsupported(SourceError):
    """The source's address can never be opened, however often it is tried: no program here speaks its protocol."""


class PoseError(SignspotError):
    """A frame that the pose estimator cannot take, or an estimator that cannot start."""


class ClipError(SignspotError):
    """A clip that no sign can be enrolled from."""


class NoPersonError(ClipError):
    """The clip shows no person."""


class NoRaisedHandError(ClipError):
    """The clip shows a person, but no hand is raised in it."""


class GalleryError(SignspotError):
    """A gallery that cannot be read or written."""


class GalleryNotFound(GalleryError):
    """There is no gallery at that path, or it is empty."""


class GalleryMismatch(GalleryError):
    """The gallery's exemplars were embedded by another encoder than the one in use."""


class BundleError(SignspotError):
    """A model bundle that is damaged, incomplete, or fails its hash."""


class CheckpointError(SignspotError):
    """A checkpoint to import that is damaged, of another network, or would need code to be run."""


class EngineError(SignspotError):
    """A runtime that is not installed, or a network that it cannot execute."""


class ConfigError(SignspotError):
    """An option or a configuration file with a value that cannot be used."""


class PublishError(SignspotError):
    """An address that cannot be bound, or one that must not be bound unprotected."""


class RecordingError(SignspotError):
    """A recorded run that cannot be written, read or replayed."""


class MissingExtra(SignspotError):
    """An optional package is needed for this and is not installed."""
