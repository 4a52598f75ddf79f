import { render } from "preact";
import { App } from "./app";
import "./style/base.css";
import "./style/layout.css";
import "./style/safety.css";
import "./style/work.css";
import "./style/picture.css";
import "./style/devices.css";
import "./style/sequence.css";
import "./style/screens.css";

const root = document.getElementById("page");
if (root !== null) render(<App />, root);
