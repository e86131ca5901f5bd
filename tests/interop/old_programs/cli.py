"""The old command line with a name put back that it takes for granted and that Python 3.10 removed.

[ran] Without `collections.Iterator` the old program makes the call, gets the answer and dies of AttributeError before
it prints it. Nothing else of it is changed.
"""

import collections
import collections.abc
import sys

collections.Iterator = collections.abc.Iterator

from zerorpc.cli import main  # noqa: E402  (only now can it print)

sys.exit(main())
