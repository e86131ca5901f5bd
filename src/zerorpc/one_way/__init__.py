"""Events one way: ``Pusher`` and ``Publisher`` send them, ``Puller`` and ``Subscriber`` run a method for each."""
