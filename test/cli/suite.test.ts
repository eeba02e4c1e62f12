// One file, every runtime: the whole command line on each Node from the oldest supported one on; Deno and Bun are in
// suite-others.test.ts, so that the two can run side by side.
import { fullSuite } from "./suite.ts";

fullSuite("node20");
fullSuite("node22");
fullSuite("node24");
fullSuite("node26");
