"""Makes a tree with every kind of metadata, and compares two trees field by field: the judge of the metadata tests.

Deliberately without any of the project's own code: os.*xattr, lstat with nanoseconds, ioctl; ACLs and capabilities
in the kernel's binary form. What the machine forbids (trusted attributes or immutable files in a container) is left
out and said on standard output.

  tree.py make DIR [--root] [--borg]   --root: what only root may make; --borg: leave out what Borg cannot store
  tree.py compare A B [--ignore FIELD,...]   prints each difference; exit code 1 if there is one
  tree.py clean DIR                    removes a tree, immutable files among it
"""
import array
import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import struct
import sys

FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = (0x80086601, 0x40086602) if sys.maxsize > 2**32 else (0x80046601, 0x40046602)
APPEND, NODUMP, IMMUTABLE = 0x20, 0x40, 0x10
SHOWN = APPEND | NODUMP | IMMUTABLE


def get_flags(path):
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        buf = array.array('i', [0])
        try:
            fcntl.ioctl(fd, FS_IOC_GETFLAGS, buf)
        except OSError:
            return 0
        return buf[0] & SHOWN
    finally:
        os.close(fd)


def set_flags(path, flags):
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        buf = array.array('i', [0])
        fcntl.ioctl(fd, FS_IOC_GETFLAGS, buf)
        buf[0] = (buf[0] & ~SHOWN) | flags
        fcntl.ioctl(fd, FS_IOC_SETFLAGS, buf)
    finally:
        os.close(fd)


@contextlib.contextmanager
def allowed(what):
    try:
        yield
    except OSError as e:
        if e.errno not in (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOTTY):
            raise
        print('left out: %s (%s)' % (what, e))


def may_be_immutable(directory):
    path = os.path.join(directory, b'probe')
    open(path, 'w').close()
    try:
        set_flags(path, IMMUTABLE)
        set_flags(path, 0)
        return True
    except OSError as e:
        print('left out: immutable files (%s)' % e)
        return False
    finally:
        os.unlink(path)


def make(root, is_root, for_borg):
    root = os.fsencode(root)
    os.makedirs(root, exist_ok=True)
    late = []  # what has to wait until everything is there: times, then flags

    def p(*parts):
        return os.path.join(root, *[x if isinstance(x, bytes) else x.encode() for x in parts])

    def file(name, data=b'', mode=0o644, owner=None, ns=None, xattrs=(), flags=0):
        path = p(name)
        with open(path, 'wb') as f:
            f.write(data)
        if owner and is_root:
            os.chown(path, *owner)
        for key, value in xattrs:
            os.setxattr(path, key, value)
        os.chmod(path, mode)
        late.append((path, ns or (1600000000123456789, 1500000000987654321), flags))
        return path

    def mkdir(name, mode=0o755, ns=None, flags=0):
        os.mkdir(p(name))
        late.append((p(name), ns or (1111111111111111111, 1222222222222222223), flags))
        os.chmod(p(name), mode)
        return p(name)

    # permissions and owners
    for mode in (0o000, 0o400, 0o777, 0o4755, 0o2755, 0o6711, 0o1644):
        file('mode-%04o' % mode, b'm', mode if is_root or mode else 0o400)
    file('owner-numbers', b'o', 0o640, (12345, 54321))
    file('owner-names', b'o', 0o4750, (1, 4))
    mkdir('dir-sticky', 0o1777)
    mkdir('dir-setgid', 0o2775)
    mkdir('dir-readonly', 0o755)
    file('dir-readonly/inside', b'x')
    mkdir('empty', 0o700)
    deep = 'deep'
    mkdir(deep)
    for i in range(12):
        deep += '/level%d' % i
        mkdir(deep)
    file(deep + '/bottom', b'bottom')

    # times
    file('time-nanosecond', b't', ns=(1, 1))
    file('time-zero', b't', ns=(0, 0))
    file('time-microsecond', b't', ns=(1234567890123456000, 1345678901234567000))
    file('time-odd', b't', ns=(1700000000000000001, 1699999999999999999))
    if not for_borg:
        file('time-before-epoch', b't', ns=(-1, -1234567890123456789))
        file('time-after-2038', b't', ns=(4102444800000000001, 7258118400999999999))

    # names
    for name in (b'\xff\xfe not utf-8', b'new\nline', b'a' * 255, b'-dash', b' lead and trail ', b'tab\there',
                 b'quote\'"`$(x)', b'back\\slash', b'\x01control\x7f', 'ümläut-é-日本-😀'.encode(), b'half\xc3',
                 b'\xed\xa0\x80surrogate', b'n' * 251 + b'\xf0\x9f\x98\x80', b'#hash', b'a=b', b'*?[x]', b'{braces}'):
        file(name, name)
    mkdir(b'dir\xff\n odd')
    file(b'dir\xff\n odd/\xfe', b'odd', xattrs=[(b'user.odd', b'1')])

    # extended attributes
    file('xattr-user', b'x', xattrs=[(b'user.one', b'1'), (b'user.empty', b''), (b'user.binary', bytes(range(256))),
                                     (b'user.long', b'L' * 3000), ('user.nämé'.encode(), b'v'), (b'user.\xff=\n"', b'v')])
    os.setxattr(mkdir('xattr-dir'), b'user.on.dir', b'dir')
    if is_root:
        with allowed('trusted attributes'):
            file('xattr-root', b'x', xattrs=[(b'trusted.t', b'\x00\x01'), (b'security.thing', b's')])
            os.symlink(b'nowhere', p('xattr-link'))
            os.setxattr(p('xattr-link'), b'trusted.on.link', b'l', follow_symlinks=False)
        with allowed('capabilities'):
            path = file('capability', b'#!', 0o755, (0, 4))
            # struct vfs_cap_data, revision 2 and effective: cap_net_bind_service (10), cap_net_raw (13)
            os.setxattr(path, b'security.capability', struct.pack('<5I', 0x02000001, 1 << 10 | 1 << 13, 0, 0, 0))

    # ACLs: entries are (tag, id or -1, permissions)
    U_OBJ, USER, G_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32

    def acl(path, *entries, kind=b'access'):
        value = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', t, perm, who & 0xffffffff) for t, who, perm in entries)
        os.setxattr(path, b'system.posix_acl_' + kind, value)

    with allowed('ACLs'):
        acl(file('acl-named', b'a'), (U_OBJ, -1, 6), (USER, 1, 7), (G_OBJ, -1, 4), (GROUP, 4, 5), (MASK, -1, 7), (OTHER, -1, 4))
        acl(file('acl-numeric', b'a'), (U_OBJ, -1, 6), (USER, 12344, 0), (USER, 12345, 6), (G_OBJ, -1, 4), (GROUP, 54321, 1),
            (MASK, -1, 7), (OTHER, -1, 4))
        acl(file('acl-masked', b'a'), (U_OBJ, -1, 6), (USER, 1, 7), (G_OBJ, -1, 7), (GROUP, 4, 7), (MASK, -1, 4), (OTHER, -1, 4))
        inherited = (U_OBJ, -1, 7), (USER, 1, 7), (G_OBJ, -1, 5), (GROUP, 54321, 5), (MASK, -1, 7), (OTHER, -1, 0)
        acl(mkdir('acl-default'), *inherited, kind=b'default')
        acl(mkdir('acl-both'), (U_OBJ, -1, 7), (USER, 1, 7), (G_OBJ, -1, 5), (MASK, -1, 7), (OTHER, -1, 5))
        acl(p('acl-both'), *inherited, kind=b'default')
        file('acl-both/inherits', b'i')
        acl(mkdir('acl-access-only'), (U_OBJ, -1, 7), (USER, 2, 5), (G_OBJ, -1, 5), (MASK, -1, 5), (OTHER, -1, 5))

    # flags
    with allowed('flags'):
        file('flag-nodump', b'f', flags=NODUMP)
        mkdir('flag-nodump-dir', flags=NODUMP)
        file('flag-nodump-dir/under', b'f')
        if is_root and may_be_immutable(root):
            file('flag-append', b'f', flags=APPEND)
            file('flag-immutable', b'f', flags=IMMUTABLE)
            file('flag-all', b'f', flags=SHOWN)
            mkdir('flag-immutable-dir', flags=IMMUTABLE)
            file('flag-immutable-dir/under', b'f')

    # links
    os.link(file('hard-a', b'hard'), p('hard-b'))
    os.link(p('hard-a'), p('dir-setgid', 'hard-c'))
    for name, target in ((b'sym-file', b'hard-a'), (b'sym-dangling', b'/no/such/thing'), (b'sym-odd', b'\xff\n'),
                         (b'sym-dir', b'deep/level0'), (b'sym-long', b'x/' * 2000), (b'sym\xff', b'y')):
        os.symlink(target, p(name))
        if is_root:
            os.chown(p(name), 77, 78, follow_symlinks=False)
        late.append((p(name), (1333333333000000001, 1444444444000000009), 0))

    # special files
    os.mkfifo(p('fifo'), 0o640)
    late.append((p('fifo'), (1234567890000000001, 1234567890000000003), 0))
    if is_root:
        for name, mode, major, minor in (('block', stat.S_IFBLK | 0o660, 8, 17), ('char', stat.S_IFCHR | 0o622, 1, 3),
                                         ('device-large', stat.S_IFBLK | 0o600, 4095, 1048575)):
            with allowed('device nodes'):
                os.mknod(p(name), mode, os.makedev(major, minor))
                os.chmod(p(name), stat.S_IMODE(mode))
                os.chown(p(name), 0, 6)
                late.append((p(name), (1234567890000000001, 1234567890000000005), 0))

    # sparse
    MiB = 1 << 20
    for name, size, pieces in (('sparse-all', 5 * MiB, ()), ('sparse-middle', 9 * MiB, ((0, b'head'), (8 * MiB, b'tail' * 9))),
                               ('sparse-end', 6 * MiB + 1, ((4096, b'data' * 4096),)), ('sparse-start', 4 * MiB, ((4 * MiB - 3, b'end'),))):
        path = file(name)
        with open(path, 'r+b') as f:
            for at, data in pieces:
                f.seek(at)
                f.write(data)
            f.truncate(size)
    file('empty-file')
    file('some-content', bytes(range(256)) * 5000)

    os.chmod(p('dir-readonly'), 0o555)
    for path, (atime, mtime), _ in reversed(late):
        os.utime(path, ns=(atime, mtime), follow_symlinks=False)
    for path, _, flags in late:
        if flags:
            with allowed('flags'):
                set_flags(path, flags)
    os.utime(root, ns=(1000000000000000001, 1000000000000000002))


def describe(root):
    """Path -> field -> value. Reading it leaves access times alone where the system lets us."""
    root = os.fsencode(root)
    found, inodes = {}, {}

    def visit(path, rel):
        st = os.lstat(path)
        kind = stat.S_IFMT(st.st_mode)
        entry = dict(mode=oct(st.st_mode), uid=st.st_uid, gid=st.st_gid, mtime=st.st_mtime_ns, atime=st.st_atime_ns,
                     xattrs={n: os.getxattr(path, n, follow_symlinks=False) for n in sorted(os.listxattr(path, follow_symlinks=False))})
        found[rel] = entry
        if kind == stat.S_IFLNK:
            entry['target'] = os.readlink(path)
            del entry['atime']  # reading a link's target sets it, and nothing prevents that
        if kind in (stat.S_IFBLK, stat.S_IFCHR):
            entry['rdev'] = (os.major(st.st_rdev), os.minor(st.st_rdev))
        if kind in (stat.S_IFREG, stat.S_IFDIR):
            try:
                entry['flags'] = get_flags(path)
            except PermissionError:
                entry['flags'] = None
        if kind == stat.S_IFREG:
            entry['size'] = st.st_size
            entry['blocks'] = st.st_blocks
            try:
                with open(os.open(path, os.O_RDONLY | os.O_NOATIME), 'rb') as f:
                    entry['content'] = hashlib.sha256(f.read()).hexdigest()
            except PermissionError:
                entry['content'] = None
        if st.st_nlink > 1 and kind != stat.S_IFDIR:
            entry['same-as'] = inodes.setdefault((st.st_dev, st.st_ino), rel)
        if kind == stat.S_IFDIR:
            fd = os.open(path, os.O_RDONLY | os.O_NOATIME)
            try:
                names = sorted(os.fsencode(n) for n in os.listdir(fd))
            finally:
                os.close(fd)
            for name in names:
                visit(os.path.join(path, name), os.path.join(rel, name))

    visit(root, b'')
    return found


def compare(a, b, ignore):
    left, right = describe(a), describe(b)
    differences = 0
    for rel in sorted(set(left) | set(right)):
        if rel not in left or rel not in right:
            print('%r: only in %s' % (rel, a if rel in left else b))
            differences += 1
            continue
        for field in sorted(set(left[rel]) | set(right[rel])):
            x, y = left[rel].get(field), right[rel].get(field)
            if field == 'blocks':
                # Holes need not be at the same places; but what was sparse must stay so.
                if 'holes' in ignore or y <= max(x, 8) * 1.5 + 16:
                    continue
            if field not in ignore and x != y:
                print('%r: %s: %r != %r' % (rel, field, x, y))
                differences += 1
    print('%d entries, %d differences' % (len(left), differences))
    return 1 if differences else 0


def clean(root):
    root = os.fsencode(root)
    if not os.path.lexists(root):
        return
    for path, dirs, files in os.walk(root):
        for name in [b'.'] + files:
            full = os.path.join(path, name)
            if stat.S_IFMT(os.lstat(full).st_mode) in (stat.S_IFREG, stat.S_IFDIR):
                try:
                    if get_flags(full) & (IMMUTABLE | APPEND):
                        set_flags(full, 0)
                except OSError:
                    pass
        os.chmod(path, 0o700)
    shutil.rmtree(root)


def main(args):
    command = args[0]
    options = {a for a in args if a.startswith('--') and a != '--ignore'}
    ignore = set(args[args.index('--ignore') + 1].split(',')) if '--ignore' in args else set()
    if command == 'make':
        make(args[1], '--root' in options, '--borg' in options)
    elif command == 'compare':
        return compare(args[1], args[2], ignore)
    elif command == 'clean':
        clean(args[1])
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
