const HTML: Readonly<Record<string, string>> = {
  "&": "&amp;",
  ">": "&gt;",
  "<": "&lt;",
  "'": "&#39;",
  '"': "&#34;",
};

/** As markupsafe's `escape`. */
export const escapeHtml = (text: string): string => text.replace(/[&<>'"]/g, (character) => HTML[character]!);
