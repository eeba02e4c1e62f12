"""What real Borg captures of each entry of a tree, as JSON: hex path -> fields. `borg-capture.py DIR [--numeric-ids]`"""
import json
import os
import stat
import sys

from borg.archive import MetadataCollector


def plain(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {k.hex(): v and v.hex() for k, v in value.items()}
    return value


def main(root, numeric):
    collector = MetadataCollector(noatime=False, noctime=False, nobirthtime=False, numeric_ids=numeric,
                                  noflags=False, noacls=False, noxattrs=False)
    found = {}
    base = os.fsencode(root)
    # Without touching access times, which are part of the answer.
    def names(path):
        fd = os.open(path, os.O_RDONLY | os.O_NOATIME)
        try:
            return [os.fsencode(n) for n in os.listdir(fd)]
        finally:
            os.close(fd)

    todo = [base]
    while todo:
        path = todo.pop()
        for name in names(path):
            full = os.path.join(path, name)
            st = os.lstat(full)
            if stat.S_ISDIR(st.st_mode):
                todo.append(full)
            text = os.fsdecode(full)
            attrs = collector.stat_attrs(st, text)
            found[os.path.relpath(full, base).hex()] = {k: plain(v) for k, v in attrs.items()}
    json.dump(found, sys.stdout)


main(sys.argv[1], '--numeric-ids' in sys.argv)
