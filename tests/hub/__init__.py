"""A Hugging Face Hub on 127.0.0.1, for unmodified clients.

It keeps dataset repositories, takes files over LFS or Xet, logs every byte and fails where it is
told to. To rehearse by hand: `python -m tests.hub --port 8766` and export what it prints.
"""

from .access import ORGANISATION, READ_TOKEN, TOKEN, USER
from .server import HubServer
from .wire import Fault, Record

__all__ = ["ORGANISATION", "READ_TOKEN", "TOKEN", "USER", "Fault", "HubServer", "Record"]
