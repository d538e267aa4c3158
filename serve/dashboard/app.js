// Which page this address is.

import { showMeeting } from "./meeting_page.js";
import { showMeetings } from "./meeting_list_page.js";

const [, id] = location.pathname.match(/^\/meetings\/([^/]+)/) ?? [];
const page = document.getElementById(id ? "meeting-page" : "meetings-page");
// Imported, not cloned: Chromium doesn't follow the direction of what is cloned from another document (dir=auto).
document.body.append(document.importNode(page.content, true));
if (id) showMeeting(id);
else showMeetings();
