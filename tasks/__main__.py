import sys

from tasks.command import main

if __name__ == "__main__":
    sys.exit(main("tasks"))
