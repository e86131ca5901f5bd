"""A client that reads an endless stream until its server is lost; like serve.py it runs on either side."""

import zerorpc
from common import arguments, open_links, write_line


def main():
    options = arguments()
    client = zerorpc.Client(heartbeat=options.heartbeat)
    open_links(client, options)
    try:
        for item in client.endless():
            if item == 0:
                write_line({"began": True})
    except zerorpc.LostRemote:
        write_line({"lost": True})


main()
