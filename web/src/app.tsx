import type { ComponentType } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { CaptureDetails } from "../../src/server/questions/capture.ts";
import {
  captureKey,
  captureList,
  captureListError,
  currentSummary,
  loadCaptureList,
  loadDetails,
} from "./data/captures.ts";
import { useResource } from "./data/resource.ts";
import { useKeys } from "./keys.ts";
import { Announcer } from "./parts/announce.tsx";
import { CapturePicker } from "./parts/capture-picker.tsx";
import { Completeness } from "./parts/completeness.tsx";
import { EmptyPage } from "./parts/empty-page.tsx";
import { ExportMenu } from "./parts/export-menu.tsx";
import { HelpDialog, openHelp } from "./parts/help-dialog.tsx";
import { ErrorNote, Skeleton } from "./parts/states.tsx";
import { ThemeSwitch } from "./parts/theme-switch.tsx";
import { Tooltip } from "./parts/tooltip.tsx";
import { go, href, route, show, VIEWS, type ViewName } from "./route.ts";
import { AtlasView } from "./views/atlas.tsx";
import { BalanceView } from "./views/balance.tsx";
import { CompareView } from "./views/compare.tsx";
import { ExpertView } from "./views/expert.tsx";
import { LiveView } from "./views/live.tsx";
import { PairsView } from "./views/pairs.tsx";
import { TokensView } from "./views/tokens.tsx";
import { UsageView } from "./views/usage.tsx";

export interface ViewProps {
  readonly capture: CaptureDetails;
}

const TITLES: Record<ViewName, string> = {
  live: "Live",
  usage: "Usage",
  tokens: "Tokens",
  expert: "Expert",
  balance: "Balance",
  pairs: "Pairs and flow",
  atlas: "Atlas",
  compare: "Compare",
};

/** Views of a stored capture. The live view has what it shows from the model itself. */
const CAPTURE_VIEWS: Record<Exclude<ViewName, "live">, ComponentType<ViewProps>> = {
  usage: UsageView,
  tokens: TokensView,
  expert: ExpertView,
  balance: BalanceView,
  pairs: PairsView,
  atlas: AtlasView,
  compare: CompareView,
};

export function App() {
  useEffect(() => {
    void loadCaptureList();
  }, []);
  const { view } = route.value;
  const tabs = useRef<HTMLElement>(null);
  useEffect(() => {
    document.title = `${TITLES[view]} · moescope`;
    // On a phone the tabs do not all fit.
    const bar = tabs.current!;
    const tab = bar.querySelector<HTMLElement>("[aria-current]")!;
    bar.scrollLeft = tab.offsetLeft - (bar.clientWidth - tab.offsetWidth) / 2;
  }, [view]);
  useKeys([
    { keys: ["?"], does: "this list", run: openHelp },
    { keys: ["/"], does: "search tokens", run: () => searchTokens() },
    { keys: ["c"], does: "compare with another capture", run: () => go("compare") },
    {
      keys: VIEWS.map((_, i) => `${i + 1}`),
      does: "go to a view",
      run: (key) => go(VIEWS[Number(key) - 1]!),
    },
  ]);
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById("main")?.focus()}>
        Skip to the view
      </button>
      <header class="top">
        <a class="brand" href={href("usage")}>
          <img src="./icon.svg" alt="" width="24" height="24" /> moescope
        </a>
        <CapturePicker />
        <div class="top-actions">
          <ExportMenu />
          <ThemeSwitch />
          <button type="button" class="quiet icon" aria-label="Keys" title="Keys (?)" onClick={openHelp}>
            ?
          </button>
        </div>
      </header>
      <nav class="tabs" aria-label="Views" ref={tabs}>
        {VIEWS.map((name) => (
          <a key={name} href={href(name)} aria-current={name === view ? "page" : undefined}>
            {TITLES[name]}
          </a>
        ))}
      </nav>
      <main id="main" tabIndex={-1}>
        <Page view={view} />
      </main>
      <Tooltip />
      <Announcer />
      <HelpDialog />
    </>
  );
}

function Page({ view }: { readonly view: ViewName }) {
  const error = captureListError.value;
  if (view === "live") return <LiveView />;
  if (error) return <ErrorNote error={error} retry={() => void loadCaptureList()} />;
  if (!captureList.value) return <Skeleton height={480} />;
  const summary = currentSummary.value;
  if (!summary) return <EmptyPage />;
  return <CapturePage key={summary.id} view={view} summary={summary} />;
}

function CapturePage({
  view,
  summary,
}: {
  readonly view: Exclude<ViewName, "live">;
  readonly summary: NonNullable<typeof currentSummary.value>;
}) {
  const details = useResource(captureKey(summary, "details"), (signal) => loadDetails(summary.id, signal));
  const View = CAPTURE_VIEWS[view];
  // A link that is shared must show the same capture when there are newer ones.
  useEffect(() => show({ c: summary.id }), [summary.id]);
  return (
    <>
      <Completeness summary={summary} details={details.data} />
      {details.state === "error" ? (
        <ErrorNote error={details.error} retry={details.retry} />
      ) : details.data ? (
        <View key={view} capture={details.data} />
      ) : (
        <Skeleton height={480} />
      )}
    </>
  );
}

function searchTokens(): void {
  const field = document.querySelector<HTMLInputElement>("input[type=search]");
  // Where there is none the tokens view comes first, and looks for this.
  if (field) field.focus();
  else go("tokens", { find: 1 });
}
