// Behaviour of the commands that only look, each option beside real borg.

import { look } from "./entries-look.ts";
import { walk } from "./walk.ts";

walk(look);
