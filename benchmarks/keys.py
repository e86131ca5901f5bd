"""The keys of peers with CURVE. They are no secret: nothing but a benchmark is ever sealed with them."""

from __future__ import annotations

SERVER_PUBLIC = "[E?3o/=mGg{hloY(%HrMK{.H7xtqh77O5-.SP?iv"
SERVER_SECRET = "YBl+7]P4LRDe??{]b%lAe:UBAn.!KXZN7v8j$9SG"
CLIENT_PUBLIC = "1!jiHV)r]=oG<%DuOQoco?Ak$toHlBQ3a<sfr0}<"
CLIENT_SECRET = "CbFn-o6[is>&J+8uZG97bf->1[*N%::#E>w0kN^o"
