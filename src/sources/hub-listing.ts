import { z } from "zod";
import { ModelError, MoescopeError } from "../core/errors.ts";
import { COMMIT } from "./hub-cache.ts";
import { type HubSession, hubFetch, reason } from "./hub-request.ts";
import { isInnerPath } from "./inner-path.ts";

/** A file of a repository at a commit. */
export interface RemoteFile {
  /** Inside the repository, with `/`. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** Name of its blob in the cache: the sha256 of a large file, git's sha1 of a small one. */
  readonly etag: string;
}

export interface RemoteListing {
  readonly commit: string;
  /** The `.gguf` files. */
  readonly files: readonly RemoteFile[];
}

// All of it becomes names of files and folders here, so nothing is taken as it comes.
const entry = z.object({
  type: z.string(),
  path: z.string(),
  size: z.int().nonnegative(),
  oid: z.string().regex(/^[0-9a-f]{40}$/),
  lfs: z.object({ oid: z.string().regex(/^[0-9a-f]{64}$/), size: z.int().nonnegative() }).optional(),
});

/**
 * List the `.gguf` files of a repository, at the commit that its revision stands for now.
 *
 * @param attempts tries at each request; fewer when the cache could answer as well.
 * @throws ModelError `MODEL_NOT_FOUND`, `MODEL_INVALID` or `MODEL_DOWNLOAD_FAILED`.
 */
export async function listRepository(session: HubSession, attempts?: number): Promise<RemoteListing> {
  const { listFiles, modelInfo } = await import("@huggingface/hub");
  const { repo, revision, settings } = session;
  const asked = { hubUrl: settings.endpoint, fetch: hubFetch(session, attempts) };
  try {
    const info = await modelInfo({ ...asked, name: repo, revision, additionalFields: ["sha"] });
    const commit = z.string().regex(COMMIT).parse(info.sha);
    const files: RemoteFile[] = [];
    for await (const item of listFiles({ ...asked, repo, revision: commit, recursive: true })) {
      const { type, path, size, oid, lfs } = entry.parse(item);
      if (type !== "file" || !/\.gguf$/i.test(path)) continue;
      if (!isInnerPath(path))
        throw new ModelError(
          "MODEL_INVALID",
          `${repo} has a file named ${JSON.stringify(path)}, which would leave the cache folder; nothing was downloaded`,
        );
      files.push({ path, size: lfs?.size ?? size, etag: lfs?.oid ?? oid });
    }
    return { commit, files };
  } catch (cause) {
    session.signal?.throwIfAborted();
    if (cause instanceof MoescopeError) throw cause;
    throw new ModelError(
      "MODEL_DOWNLOAD_FAILED",
      `${settings.endpoint} does not answer like a Hugging Face Hub about ${repo} (${reason(cause)}); check HF_ENDPOINT`,
      { cause },
    );
  }
}
