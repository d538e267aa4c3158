// Which page this address is.

import { showMeeting } from "./meeting.js";
import { showMeetings } from "./meetings.js";

const [, id] = location.pathname.match(/^\/meetings\/([^/]+)/) ?? [];
const page = document.getElementById(id ? "meeting-page" : "meetings-page");
document.body.append(page.content.cloneNode(true));
if (id) showMeeting(id);
else showMeetings();
