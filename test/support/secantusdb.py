"""
Runs SecantusDB for one test file: secantusdb.py FOLDER PORT

Prints its port, and ends with its standard input, which is when the process that started it has ended in any way.
"""
import os
import shutil
import sys

from secantus import SecantusDBServer, commands

# MongoDB takes a transaction's readConcern in any first command; SecantusDB 0.7.0b3 does not know it in a bulkWrite.
commands._BULK_WRITE_KNOWN_FIELDS |= {'readConcern'}

folder, port = sys.argv[1], int(sys.argv[2])
# MongoDB ends a transaction whose client is gone after 60 s; tests that kill a client wait less.
server = SecantusDBServer(port=port, storage_path=folder, enable_test_commands=True, transaction_lifetime_seconds=10)
server.start()
print(server.port, flush=True)
sys.stdin.read()
shutil.rmtree(folder, ignore_errors=True)
os._exit(0)
