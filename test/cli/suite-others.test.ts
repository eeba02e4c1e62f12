// One file, every runtime: the whole command line on Deno and on Bun. See suite.test.ts.
import { fullSuite } from "./suite.ts";

fullSuite("deno");
fullSuite("bun");
