# What pycapnp.py serves.
@0xb3d2f1a0c4e59687;

interface Echo {
  echo @0 (value :Text) -> (value :Text);
  echoBytes @1 (value :Data) -> (value :Data);
}
