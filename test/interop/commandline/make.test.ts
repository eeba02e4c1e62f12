// Behaviour of the commands that make archives and bring them back, each option beside real borg.
import { make } from "./entries-make.ts";
import { walk } from "./walk.ts";

walk(make);
