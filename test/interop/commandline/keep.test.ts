// Behaviour of the commands that keep repositories, each option beside real borg.
import { keep } from "./entries-keep.ts";
import { walk } from "./walk.ts";

walk(keep);
