/** What a capture can be turned into; `npy` and `routed-experts` make a folder, the others a file. */
export const EXPORT_FORMATS = ["routed-experts", "expert-load", "usage-csv", "usage-parquet", "npy"] as const;
/**
 * A format that {@link exportCapture} writes, one of {@link EXPORT_FORMATS}.
 *
 * @useDeclaredType
 */
export type ExportFormat = (typeof EXPORT_FORMATS)[number];
