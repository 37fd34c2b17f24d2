/** How a {@link FolderSink} stores a run: the size of its files, their precision, and who may read them. */
export interface FolderOptions {
  /**
   * Bytes of all streams together in a shard: what is held in memory, and the most that is lost when the process is
   * killed. Default 32 MiB: little beside a model, and at the default streams of a model with 48 layers and 128
   * experts still 1250 rows, so that reading a layer takes reads of half a megabyte, not of a row.
   */
  readonly shardBytes?: number;
  /** How streams of floats are stored. Default `float32`: bit for bit what the engine computed. */
  readonly dtype?: "float32" | "float16" | "bfloat16";
  /**
   * Who may read the folder: it holds prompts and answers. `private`, the default: this user alone (0700, its files
   * 0600); `shared`: whom the process's umask lets. A folder that is there already keeps its permissions, and a
   * resumed run goes on with those of the manifest.
   */
  readonly access?: "private" | "shared";
}
