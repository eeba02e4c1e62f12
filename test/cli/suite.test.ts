// One file, every runtime: the whole command line on the Node that runs the tests, on Deno and on Bun, and the life
// of a repository on the other versions of Node.
import { fullSuite, shortSuite } from "./suite.ts";

fullSuite("node");
fullSuite("bun");
fullSuite("deno");
shortSuite("node20");
shortSuite("node24");
shortSuite("node26");
