import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";
import { gpuPackage } from "../../src/engines/llama/native/gpu.ts";
import { findLibrary, LLAMA_VERSION } from "../../src/engines/llama/native/library.ts";
import { packageVersion } from "../../src/engines/llama/native/prebuilt.ts";

interface Locked {
  /** Where the package has another name than its folder: an alias. */
  readonly name?: string;
  readonly version: string;
  readonly integrity?: string;
}

const read = (file: string) => JSON.parse(readFileSync(join(packageRoot, file), "utf8"));
const { dependencies, optionalDependencies, devDependencies, scripts } = read("package.json");
const lock: { packages: Record<string, Locked> } = read("package-lock.json");

describe("every dependency is the package of its name, in one version", () => {
  test.each(Object.entries<string>({ ...dependencies, ...optionalDependencies, ...devDependencies }))(
    "%s %s",
    (name, wanted) => {
      expect(wanted).toMatch(/^\d+\.\d+\.\d+$/);
      const locked = lock.packages[`node_modules/${name}`];
      expect(locked).toMatchObject({ version: wanted, integrity: expect.stringMatching(/^sha512-/) });
      expect(locked!.name ?? name).toBe(name);
      const manifest = join("node_modules", name, "package.json");
      // npm leaves out those of other platforms.
      if (existsSync(join(packageRoot, manifest)))
        expect(read(manifest)).toMatchObject({ name, version: wanted });
    },
  );

  test("what those depend on is nobody's alias either", () => {
    const aliases = Object.entries(lock.packages).filter(
      ([path, { name }]) => path !== "" && name !== undefined && !path.endsWith(`node_modules/${name}`),
    );
    expect(aliases).toEqual([]);
  });
});

describe("llama.cpp", () => {
  const own = (name: string) => name.startsWith("@node-llama-cpp/");

  test("of every platform that is named has the version whose layouts are read", () => {
    const named = Object.entries(optionalDependencies).filter(([name]) => own(name));
    expect(named).toEqual(
      ["linux-arm64", "linux-x64"].map((name) => [`@node-llama-cpp/${name}`, packageVersion]),
    );
    for (const [name] of named)
      expect(() => findLibrary({}, name.replace("@node-llama-cpp/", ""))).not.toThrow(/no prebuilt/);
  });

  test.each(["darwin-arm64", "darwin-x64", "win32-x64", "win32-arm64", "freebsd-x64"])(
    "of %s is not there, and the error says what works",
    (platform) => {
      expect(() => findLibrary({}, platform)).toThrow(
        new RegExp(
          `no prebuilt llama.cpp ${LLAMA_VERSION} for ${platform}; build it .*npm pack node-llama-cpp@${packageVersion}.*MOESCOPE_LLAMA_DIR`,
        ),
      );
      for (const kind of ["cuda", "vulkan", "metal"] as const) expect(gpuPackage(kind, platform)).toBe(null);
    },
  );
});

test("installing moescope runs nothing", () => {
  for (const name of ["preinstall", "install", "postinstall", "prepare"])
    expect(scripts).not.toHaveProperty(name);
});
