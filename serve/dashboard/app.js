// Entry point: shows the page that belongs to the address.

import { showMeetings } from "./meeting_list_page.js";
import { showMeeting } from "./meeting_page.js";

const [, id] = location.pathname.match(/^\/meetings\/([^/]+)/) ?? [];
const page = document.getElementById(id ? "meeting-page" : "meetings-page");
// Imported, not cloned: with dir=auto, Chromium doesn't compute the direction of nodes cloned from another document.
document.body.append(document.importNode(page.content, true));
if (id) showMeeting(id);
else showMeetings();
