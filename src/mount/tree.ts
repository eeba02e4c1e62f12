// The inode tree of a mount in a few typed arrays: 28 bytes a node plus its name, instead of an object. A node is
// a directory entry and, unless it is a hard link to another node, an inode too; its number is the inode number.
// A node knows where its item is (metadata chunk and offset), not what is in it: attributes are decoded when asked.
import { S_IFDIR, S_IFMT } from "./constants.ts";

const NODE_PAGE_BITS = 13;
const NODE_PAGE = 1 << NODE_PAGE_BITS;
const WORDS = 7;
const NAME_PAGE_BITS = 18;
const NAME_PAGE = 1 << NAME_PAGE_BITS;

// Words of a node.
const SLOT = 0; // where the item is: see ItemPlace
const OFFSET = 1;
const NAME = 2; // place of the name: two bytes of length, then the bytes
const NEXT = 3; // the next sibling; the last one points to the first
const EXTRA = 4; // directory: last child; file: further links to it; link: the inode it stands for
const PARENT = 5;
const MODE = 6; // st_mode in the low 16 bits, flags above

const FLAG_LINK = 1 << 16;
const FLAG_INDEXED = 1 << 17;
const FLAG_DROPPED = 1 << 18;

/** `slot` of a directory that no item describes; `offset` then numbers its mtime. */
export const SYNTHETIC = 0xffffffff;
export const ROOT = 1;
/** Directories with fewer entries are searched without a table. */
const SMALL = 8;
/** Words all tables together may take (4 MiB); the ones not used for longest go first. */
const TABLE_WORDS = 1 << 20;

function hashName(name: Uint8Array): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name[i]!, 0x01000193);
  return (h ^ (h >>> 15)) >>> 0;
}

export class Tree {
  #pages: Uint32Array[] = [];
  #names: Uint8Array[] = [];
  #nameEnd = 0;
  #count = 1; // node 0 is nobody
  readonly #tables = new Map<number, Uint32Array>();
  #tableWords = 0;

  constructor() {
    const root = this.add(0, new Uint8Array(0), S_IFDIR, SYNTHETIC, 0);
    if (root !== ROOT) throw new Error("the first node is the root");
  }

  /** Nodes so far, and the bytes they take. */
  get statistics(): { nodes: number; bytes: number } {
    return {
      nodes: this.#count - 1,
      bytes:
        this.#pages.length * NODE_PAGE * WORDS * 4 + this.#names.length * NAME_PAGE + this.#tableWords * 4,
    };
  }

  exists(node: number): boolean {
    return node > 0 && node < this.#count;
  }

  #get(node: number, word: number): number {
    return this.#pages[node >>> NODE_PAGE_BITS]![(node & (NODE_PAGE - 1)) * WORDS + word]!;
  }

  #set(node: number, word: number, value: number): void {
    this.#pages[node >>> NODE_PAGE_BITS]![(node & (NODE_PAGE - 1)) * WORDS + word] = value;
  }

  #addName(name: Uint8Array): number {
    const size = name.length + 2;
    let at = this.#nameEnd;
    if (this.#names.length === 0 || (at & (NAME_PAGE - 1)) + size > NAME_PAGE) {
      at = this.#names.length * NAME_PAGE;
      this.#names.push(new Uint8Array(NAME_PAGE));
    }
    const page = this.#names[at >>> NAME_PAGE_BITS]!;
    const from = at & (NAME_PAGE - 1);
    page[from] = name.length & 255;
    page[from + 1] = name.length >>> 8;
    page.set(name, from + 2);
    // A page filled to the last byte must not make the next place look like the start of a page that exists.
    this.#nameEnd = at + size;
    if ((this.#nameEnd & (NAME_PAGE - 1)) === 0) {
      this.#names.push(new Uint8Array(NAME_PAGE));
    }
    return at;
  }

  /** A new node at the end of its parent's entries. */
  add(parent: number, name: Uint8Array, mode: number, slot: number, offset: number): number {
    const node = this.#count++;
    if (node >>> NODE_PAGE_BITS === this.#pages.length) this.#pages.push(new Uint32Array(NODE_PAGE * WORDS));
    this.#set(node, SLOT, slot);
    this.#set(node, OFFSET, offset);
    this.#set(node, NAME, this.#addName(name));
    this.#set(node, PARENT, parent || node);
    this.#set(node, MODE, mode & 0xffff);
    if (parent) this.#append(parent, node);
    return node;
  }

  /** A further name for an inode. */
  addLink(parent: number, name: Uint8Array, target: number): number {
    const node = this.add(parent, name, this.mode(target), 0, 0);
    this.#set(node, MODE, this.#get(node, MODE) | FLAG_LINK);
    this.#set(node, EXTRA, target);
    this.#set(target, EXTRA, this.#get(target, EXTRA) + 1);
    return node;
  }

  #append(parent: number, node: number): void {
    const last = this.#get(parent, EXTRA);
    if (last) {
      this.#set(node, NEXT, this.#get(last, NEXT));
      this.#set(last, NEXT, node);
    } else this.#set(node, NEXT, node);
    this.#set(parent, EXTRA, node);
    const mode = this.#get(parent, MODE);
    if (mode & FLAG_INDEXED) {
      // The versions view adds to directories that were looked at already.
      this.#set(parent, MODE, mode & ~FLAG_INDEXED);
      this.#dropTable(parent);
    }
  }

  /** Gives a directory the item it was made without. */
  describe(node: number, mode: number, slot: number, offset: number): void {
    this.#set(node, SLOT, slot);
    this.#set(node, OFFSET, offset);
    this.#set(node, MODE, (this.#get(node, MODE) & ~0xffff) | (mode & 0xffff));
  }

  /** Forgets the entries of a directory (an archive that could not be read to its end). */
  clear(directory: number): void {
    this.#set(directory, EXTRA, 0);
    this.#set(directory, MODE, this.#get(directory, MODE) & ~FLAG_INDEXED);
    this.#dropTable(directory);
  }

  mode(node: number): number {
    return this.#get(node, MODE) & 0xffff;
  }
  isDirectory(node: number): boolean {
    return (this.#get(node, MODE) & S_IFMT) === S_IFDIR;
  }
  parent(node: number): number {
    return this.#get(node, PARENT);
  }
  slot(node: number): number {
    return this.#get(node, SLOT);
  }
  offset(node: number): number {
    return this.#get(node, OFFSET);
  }
  /** The inode an entry stands for: itself, or what it is a hard link to. */
  inode(node: number): number {
    return this.#get(node, MODE) & FLAG_LINK ? this.#get(node, EXTRA) : node;
  }
  /** Names of a file: 1 plus its hard links; of a directory: 2 plus its subdirectories. */
  linkCount(node: number): number {
    if (!this.isDirectory(node)) return 1 + this.#get(node, EXTRA);
    let n = 2;
    for (let child = this.firstChild(node); child; child = this.nextSibling(child))
      if (this.isDirectory(child)) n++;
    return n;
  }

  /** The entry's name, a view. */
  name(node: number): Uint8Array {
    const at = this.#get(node, NAME);
    const page = this.#names[at >>> NAME_PAGE_BITS]!;
    const from = at & (NAME_PAGE - 1);
    return page.subarray(from + 2, from + 2 + (page[from]! | (page[from + 1]! << 8)));
  }

  #nameEquals(node: number, name: Uint8Array): boolean {
    const at = this.#get(node, NAME);
    const page = this.#names[at >>> NAME_PAGE_BITS]!;
    const from = (at & (NAME_PAGE - 1)) + 2;
    if ((page[from - 2]! | (page[from - 1]! << 8)) !== name.length) return false;
    for (let i = 0; i < name.length; i++) if (page[from + i] !== name[i]) return false;
    return true;
  }

  /** First entry of a directory, 0 if it is empty. Call `settle` before the first walk. */
  firstChild(directory: number): number {
    const last = this.#get(directory, EXTRA);
    return last && this.#get(last, NEXT);
  }
  /** The entry after this one, 0 at the end. Entries keep their order and number as long as the tree lives. */
  nextSibling(node: number): number {
    return this.#get(this.#get(node, PARENT), EXTRA) === node ? 0 : this.#get(node, NEXT);
  }

  /** Prepares a directory for being listed: of entries with the same name only the last one stays, which is
   *  what extracting the archive would leave. */
  settle(directory: number): void {
    if (!(this.#get(directory, MODE) & FLAG_INDEXED)) this.#index(directory);
  }

  /** The entry of that name, 0 if there is none. */
  find(directory: number, name: Uint8Array): number {
    this.settle(directory);
    let table = this.#tables.get(directory);
    if (!table) {
      let seen = 0;
      let child = this.firstChild(directory);
      for (; child && seen < SMALL; child = this.nextSibling(child), seen++) {
        if (this.#nameEquals(child, name)) return child;
      }
      if (!child) return 0;
      table = this.#index(directory);
      if (!table) return 0;
    }
    const mask = table.length - 1;
    for (let i = hashName(name) & mask; ; i = (i + 1) & mask) {
      const child = table[i]!;
      if (child === 0) return 0;
      if (this.#nameEquals(child, name)) return child;
    }
  }

  /** Builds a directory's name table and drops entries that a later one replaces; undefined for small ones. */
  #index(directory: number): Uint32Array | undefined {
    let entries = 0;
    for (let child = this.firstChild(directory); child; child = this.nextSibling(child)) entries++;
    let size = 16;
    while (size < entries * 1.5) size *= 2;
    const table = new Uint32Array(size);
    const mask = size - 1;
    let dropped = false;
    for (let child = this.firstChild(directory); child; child = this.nextSibling(child)) {
      const name = this.name(child);
      let i = hashName(name) & mask;
      while (table[i] !== 0 && !this.#nameEquals(table[i]!, name)) i = (i + 1) & mask;
      if (table[i] !== 0) {
        const old = table[i]!;
        this.#set(old, MODE, this.#get(old, MODE) | FLAG_DROPPED);
        dropped = true;
      }
      table[i] = child;
    }
    if (dropped) this.#unlinkDropped(directory);
    this.#set(directory, MODE, this.#get(directory, MODE) | FLAG_INDEXED);
    if (entries <= SMALL) return undefined;
    this.#tables.delete(directory);
    this.#tables.set(directory, table);
    this.#tableWords += size;
    while (this.#tableWords > TABLE_WORDS && this.#tables.size > 1) {
      for (const oldest of this.#tables.keys()) {
        this.#dropTable(oldest);
        break;
      }
    }
    return table;
  }

  #unlinkDropped(directory: number): void {
    const kept: number[] = [];
    for (let child = this.firstChild(directory); child; child = this.nextSibling(child)) {
      if (!(this.#get(child, MODE) & FLAG_DROPPED)) kept.push(child);
    }
    for (let i = 0; i < kept.length; i++) this.#set(kept[i]!, NEXT, kept[(i + 1) % kept.length]!);
    this.#set(directory, EXTRA, kept.at(-1) ?? 0);
  }

  #dropTable(directory: number): void {
    const table = this.#tables.get(directory);
    if (!table) return;
    this.#tables.delete(directory);
    this.#tableWords -= table.length;
  }
}
