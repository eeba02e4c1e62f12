// Levels of messages to the user, as Python names them in lower case.
export type LogLevel = "debug" | "info" | "warning" | "error" | "critical";
