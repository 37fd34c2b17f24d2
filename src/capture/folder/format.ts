/** Raised when a folder of this version can no longer be read by an older moescope. */
export const FORMAT = "moescope.capture/1";
