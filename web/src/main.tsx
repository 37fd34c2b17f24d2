import { render } from "preact";
import { App } from "./app.tsx";
import { loadTerms } from "./data/words.ts";
import "./style/tokens.css";
import "./style/base.css";
import "./style/shell.css";
import "./style/parts.css";
import "./style/views.css";

void loadTerms();
render(<App />, document.getElementById("app")!);
