"""gunicorn's settings: a worker says when it takes signals. SIGTERM before that is lost, and gunicorn then waits."""


def post_worker_init(worker):
    worker.log.info("Ready")
