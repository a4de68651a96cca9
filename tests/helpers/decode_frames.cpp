/* Decode what comes on standard input, [flags, size, bytes] again and again, and answer each with [height, width, type],
   or zeros where there is no image: for a build of OpenCV that notices wrong accesses to memory. */
#include <cstdint>
#include <cstdio>
#include <vector>

#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>

int main() {
  cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
  cv::setNumThreads(1);
  for (int32_t head[2]; fread(head, sizeof head, 1, stdin) == 1;) {
    std::vector<uint8_t> data(head[1]);  // of this very size, so that one byte beyond it is noticed
    if (head[1] && fread(data.data(), head[1], 1, stdin) != 1) return 2;
    int32_t found[3] = {0, 0, 0};
    try {
      cv::Mat image = cv::imdecode(data, head[0]);
      found[0] = image.rows, found[1] = image.cols, found[2] = image.empty() ? 0 : image.type();
    } catch (const cv::Exception &) {  // a refusal
    }
    fwrite(found, sizeof found, 1, stdout);
    fflush(stdout);
  }
}
