import { unsupported } from "../errors.ts";

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = "January February March April May June July August September October November December".split(
  " ",
);
const DAY_MS = 86_400_000;

const two = (value: number) => String(value).padStart(2, "0");
const hour12 = (date: Date) => date.getHours() % 12 || 12;

/** Midnight of a day as if there were no summer time: for differences in days. */
const dayNumber = (date: Date) => Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) / DAY_MS;
const dayOfYear = (date: Date) => dayNumber(date) - Date.UTC(date.getFullYear(), 0, 1) / DAY_MS + 1;

/** As `strftime` has them in the C locale. */
const DIRECTIVES: Readonly<Record<string, (date: Date) => string>> = {
  a: (date) => DAYS[date.getDay()]!.slice(0, 3),
  A: (date) => DAYS[date.getDay()]!,
  b: (date) => MONTHS[date.getMonth()]!.slice(0, 3),
  B: (date) => MONTHS[date.getMonth()]!,
  d: (date) => two(date.getDate()),
  e: (date) => String(date.getDate()).padStart(2),
  H: (date) => two(date.getHours()),
  I: (date) => two(hour12(date)),
  j: (date) => String(dayOfYear(date)).padStart(3, "0"),
  m: (date) => two(date.getMonth() + 1),
  M: (date) => two(date.getMinutes()),
  p: (date) => (date.getHours() < 12 ? "AM" : "PM"),
  S: (date) => two(date.getSeconds()),
  u: (date) => String(date.getDay() || 7),
  w: (date) => String(date.getDay()),
  y: (date) => two(date.getFullYear() % 100),
  Y: (date) => String(date.getFullYear()),
  D: (date) => strftime(date, "%m/%d/%y"),
  F: (date) => strftime(date, "%Y-%m-%d"),
  R: (date) => strftime(date, "%H:%M"),
  T: (date) => strftime(date, "%H:%M:%S"),
  // The time of Python's `datetime.now()` knows no zone.
  z: () => "",
  Z: () => "",
  "%": () => "%",
};

/** `date` in local time, as Python's `strftime` writes it. A `-` leaves the zeros in front out. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([\s\S])/g, (whole, bare: string, directive: string) => {
    const write = DIRECTIVES[directive] ?? unsupported(`${whole} in strftime_now`);
    return bare ? write(date).replace(/^[0 ]+(?=.)/, "") : write(date);
  });
}
