// Behaviour of the common options, of serve and of mount, each option beside real borg.
import { common } from "./entries-common.ts";
import { walk } from "./walk.ts";

walk(common);
