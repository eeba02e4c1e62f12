// Numbers as Python prints them, where JavaScript's own text differs: ties in rounding, and repr of a float.

/** Fixed-point text with ties to even, as Python's "%.2f"; JavaScript's toFixed takes the larger neighbour. */
export function toFixed(x: number, digits: number): string {
  const text = x.toFixed(digits);
  // A tie has its exact decimal expansion end in a 5 one digit further; 25 more digits tell it from a near miss.
  const exact = Math.abs(x).toFixed(Math.min(100, digits + 25));
  const from = exact.indexOf(".") + 1 + digits;
  if (!/^50*$/.test(exact.slice(from))) return text;
  const floor = exact.slice(0, digits === 0 ? from - 1 : from);
  if (Number(floor.at(-1)) % 2 !== 0) return text;
  return x < 0 ? `-${floor}` : floor;
}

/** repr of a Python float: "1.0", "0.1", "1e+16", "1.5e-07", "nan". */
export function floatRepr(x: number): string {
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "-inf";
  if (Object.is(x, -0)) return "-0.0";
  const [mantissa = "", exponentText = "0"] = x.toExponential().split("e");
  const exponent = Number(exponentText);
  if (x !== 0 && (exponent < -4 || exponent >= 16)) {
    return `${mantissa}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  // Within that range JavaScript writes plain digits too, but for 1e-5 and smaller.
  const text = String(x);
  return text.includes(".") ? text : `${text}.0`;
}
