"""In whose name a command changes what people decide."""

import os


def acting_person() -> str:
    """The name under which somebody works on this machine; a number where it has none."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"
