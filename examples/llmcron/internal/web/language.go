package web

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/punctual-go/punctual/examples/llmcron/internal/service"
)

// The pages speak English and Chinese. Reasons of faults have a table of their own. What comes from outside stays as it is.
const (
	english = "en"
	chinese = "zh"

	languageCookie = "llmcron_language"
)

// translate returns a text of the pages in a language.
func translate(language, text string) string {
	if language == chinese {
		if t, ok := inChinese[text]; ok {
			return t
		}
		// What is wrong with a file is said by its reader, in English.
		if detail, ok := strings.CutPrefix(text, service.ErrNotYAML.Error()+": "); ok {
			return "文件不是 YAML 格式的任务列表：" + detail
		}
	}
	return text
}

// languageOf is what the reader chose, else what the browser asks for, else English.
func languageOf(r *http.Request) string {
	if c, err := r.Cookie(languageCookie); err == nil && (c.Value == english || c.Value == chinese) {
		return c.Value
	}
	best, weight := english, 0.0
	for _, part := range strings.Split(r.Header.Get("Accept-Language"), ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if text, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			q, _ = strconv.ParseFloat(text, 64)
		}
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if (primary == english || primary == chinese) && q > weight {
			best, weight = primary, q
		}
	}
	return best
}

// chooseLanguage keeps a choice and goes back to the page it was made on.
func (s *server) chooseLanguage(w http.ResponseWriter, r *http.Request) {
	to, back := r.URL.Query().Get("to"), r.URL.Query().Get("back")
	if to != english && to != chinese {
		s.fail(w, r, http.StatusNotFound, "There is no such page.")
		return
	}
	// Only a path of this server: "//host" and "/\host" would lead elsewhere, also with a tab between, which browsers leave out.
	if !strings.HasPrefix(back, "/") || strings.HasPrefix(back, "//") || strings.Contains(back, `\`) || strings.ContainsFunc(back, unicode.IsControl) {
		back = "/"
	}
	http.SetCookie(w, &http.Cookie{
		Name: languageCookie, Value: to, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure(r),
		MaxAge: int((365 * 24 * time.Hour).Seconds()),
	})
	http.Redirect(w, r, back, http.StatusSeeOther)
}

// scheduleIn is the schedule of a task in words.
func scheduleIn(language string, t service.Task) string {
	if language != chinese {
		return t.Schedule
	}
	switch t.ScheduleType {
	case service.Interval:
		if t.IntervalSeconds > 0 {
			return fmt.Sprintf("每 %d 秒", t.IntervalSeconds)
		}
		return fmt.Sprintf("每 %d 分钟", t.IntervalMinutes)
	case service.FixedTime:
		return fmt.Sprintf("每天 %s（%s）", t.FixedTime, t.Timezone)
	case service.Cron:
		return fmt.Sprintf("cron：%s（%s）", t.Cron, t.Timezone)
	}
	return t.Schedule
}

// inChinese has every text of the pages.
var inChinese = map[string]string{
	"Tasks": "任务", "Runs": "运行记录", "New task": "新建任务", "Edit task": "编辑任务", "Delete task": "删除任务", "Import and export": "导入与导出", "Log in": "登录",
	"Name": "名称", "Schedule": "计划", "State": "状态", "Next run": "下次运行", "Last run": "上次运行", "Run now": "立即运行", "Edit": "编辑", "Delete": "删除",
	"More": "更多", "Older": "更早", "Back": "返回", "Save": "保存", "Enabled": "启用", "enabled": "已启用", "disabled": "已停用",
	"There are no tasks yet.": "还没有任务。", "Create one": "新建一个", "an interval task makes its first call at once.": "间隔任务会立即进行第一次调用。",
	"API endpoint": "API 地址", "API key": "API 密钥", "empty keeps it": "留空则保持不变", "Remove the API key": "删除 API 密钥", "Model": "模型", "Message": "消息",
	"More: system prompt, limits, streaming, budget": "更多：系统提示词、限制、流式输出、预算", "System prompt": "系统提示词", "API": "API 接口", "Chat completions": "聊天补全", "Responses": "Responses（响应）接口", "Stream the answer": "流式输出", "Variables": "变量",
	"Tokens of an answer, at most": "单次回答的最大 token 数", "Temperature": "温度", "Seconds of a call, at most": "单次调用的最长秒数",
	"Seconds that a stream may be silent": "流式输出允许静默的秒数", "Tokens of a day, at most": "每日 token 上限", "Cost of a day, at most": "每日费用上限",
	"Price of a million prompt tokens": "每百万输入 token 的价格", "Price of a million completion tokens": "每百万输出 token 的价格",
	"Type": "类型", "Interval: at once, then again and again": "间隔：立即运行，然后重复", "Fixed time, every day": "固定时间，每天", "Cron expression": "Cron 表达式",
	"Every … minutes": "每隔 … 分钟", "or every … seconds": "或每隔 … 秒", "Time (HH:MM)": "时间（HH:MM）", "Time zone": "时区",
	"Executed": "执行时间", "Why": "触发", "Status": "状态", "Attempt": "尝试", "Answer or error": "回答或错误", "Nothing has run yet.": "还没有运行过。",
	"running": "运行中", "success": "成功", "failed": "失败", "skipped": "已跳过", "missed": "已错过", "canceled": "已取消",
	"schedule": "计划", "register": "登记", "manual": "手动", "catch-up": "补跑", "backfill": "回填", "budget": "预算已用完", "overlap": "上一次仍在运行",
	"Delete this task together with its log? This cannot be undone.": "删除此任务及其日志？此操作无法撤销。",
	"Log of the task": "任务日志", "Attempts before the last": "此前的尝试", "Answer": "回答", "Changes since the success before": "与上一次成功回答的差异",
	"There was none.": "此前没有成功的回答。", "Nothing has changed.": "没有变化。",
	"Export all tasks as YAML": "将全部任务导出为 YAML", "Created": "新建", "Changed": "已更改", "Unchanged": "未更改", "Tasks as YAML": "YAML 格式的任务", "Import": "导入",
	"Token": "令牌", "That is not the token.": "令牌不正确。", "the task is not valid": "任务无效", "there is no such task": "没有这个任务",
	"there is no such log entry": "没有这条日志", "There is no such page.": "没有这个页面。", "Not Found": "未找到", "Forbidden": "已拒绝",
	"the server cannot do this right now; try again": "服务器暂时无法完成，请重试", "posts from other sites are refused": "拒绝来自其他网站的提交",
	"this server answers on loopback addresses only": "本服务器只响应本机地址", "the form is too large or not readable": "表单过大或无法识别",
	"something went wrong; the server's log says what":                                  "出错了，原因见服务器日志",
	"the task was changed by somebody else meanwhile; load it again":                    "任务已被他人更改，请重新载入",
	"Demo: tasks may call the endpoint inside this process, which makes its answers up": "演示：任务可以调用本进程内的接口，其回答是虚构的",
}
