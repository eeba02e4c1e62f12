// The file a worker thread loads where the program runs from its sources instead of the one bundled file.
import { workerMain } from "./worker.ts";

await workerMain();
