/** Raised when a folder of this version can no longer be read by an older moescope. */
export const FORMAT = "moescope.capture/1";

/**
 * The format of a manifest that goes on in the journal beside it, as long as a run writes to the folder. A moescope that
 * knows no journal refuses it, rather than find a folder without rows.
 */
export const JOURNAL_FORMAT = "moescope.capture/1+journal";
